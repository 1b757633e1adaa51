// SPDX-License-Identifier: BSD-3-Clause
#include "images/xattr_table.h"

#include <ext2fs/ext2_fs.h>
// Needs the types of the one above.

#include <ext2fs/ext2_ext_attr.h>

#include "images/xattr_block.h"

namespace ovl {

namespace {

constexpr uint32_t kUnseen = UINT32_MAX;
constexpr uint32_t kNoBlock = UINT32_MAX - 1;  // nothing that ext2 can hold

}  // namespace

Status XattrTable::add(uint32_t slot, XattrsId set) {
  if (set == XattrsId{})
    return {};
  const uint32_t block = OVL_TRY(block_for(set));
  if (block == kNoBlock)
    return {};
  ++tables_.xattr_blocks[block].users;
  tables_.xattr_uses.push_back({slot, block});
  return {};
}

Result<uint32_t> XattrTable::block_for(XattrsId set) {
  if (block_of_set_.empty())
    block_of_set_.assign(pool_.xattrs.size(), kUnseen);
  uint32_t& block = block_of_set_[static_cast<uint32_t>(set)];
  if (block == kUnseen && !OVL_TRY(needs_block(set)))
    block = kNoBlock;
  if (block == kNoBlock)
    return block;
  const bool full = block != kUnseen && tables_.xattr_blocks[block].users ==
                                            EXT2_EXT_ATTR_REFCOUNT_MAX;
  if (block == kUnseen || full) {
    block = static_cast<uint32_t>(tables_.xattr_blocks.size());
    tables_.xattr_blocks.push_back({set, 0});
  }
  return block;
}

Result<bool> XattrTable::needs_block(XattrsId set) const {
  const auto xattrs = OVL_TRY(to_disk_xattrs(pool_.xattrs.get(set)));
  return !xattrs.empty();
}

void XattrTable::end_part() {
  block_of_set_.clear();
}

void XattrTable::count_users() {
  for (XattrBlock& block : tables_.xattr_blocks)
    block.users = 0;
  for (const XattrUse& use : tables_.xattr_uses)
    if (tables_.slots[use.slot].links > 0)
      ++tables_.xattr_blocks[use.block].users;
}

}  // namespace ovl
