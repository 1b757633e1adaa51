// SPDX-License-Identifier: BSD-3-Clause
//
// Blocks of extended attributes, each of which may serve many inodes.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "fsengine/base/block_source.h"
#include "fsengine/base/xattrs.h"
#include "images/block_claims.h"

namespace ovl {

class XattrBlocks {
 public:
  /// The device outlives this.
  explicit XattrBlocks(const BlockSource& device) : device_(device) {}

  /// Notes that one more inode uses `block`, and claims it the first time.
  Status use(BlockNo block, BlockClaims& claims);

  /// Adds the attributes in `block` to `set`. REQUIRES: use(block) succeeded.
  Status read(BlockNo block, XattrSet& set) const;

  /// EUCLEAN when a block says that it has other than the users it has.
  Status check_users() const;

 private:
  struct Users {
    uint32_t said = 0;
    uint32_t found = 0;
  };

  const BlockSource& device_;
  std::unordered_map<uint64_t, Users> users_;
};

}  // namespace ovl
