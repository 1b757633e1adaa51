// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_xattr_blocks.h"

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "images/ext_xattr_reader.h"

namespace ovl {

namespace {

using Block = std::array<std::byte, kBlockSize>;

}  // namespace

Status XattrBlocks::use(BlockNo block, BlockClaims& claims) {
  Users& users = users_[to_int(block)];
  if (users.found++ > 0)
    return {};
  OVL_TRY(claims.claim(block));
  Block bytes;
  OVL_TRY(device_.read(to_int(block) * kBlockSize, bytes));
  users.said = OVL_TRY(xattr_block_users(bytes));
  return {};
}

Status XattrBlocks::read(BlockNo block, XattrSet& set) const {
  Block bytes;
  OVL_TRY(device_.read(to_int(block) * kBlockSize, bytes));
  return read_block_xattrs(bytes, set);
}

Status XattrBlocks::check_users() const {
  for (const auto& [block, users] : users_)
    if (users.said != users.found)
      return fail(EUCLEAN,
                  fmt::format("attribute block {} has {} users, not {}", block,
                              users.found, users.said));
  return {};
}

}  // namespace ovl
