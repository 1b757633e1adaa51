// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "images/layout.h"

namespace ovl {

/// Shares attribute blocks out while a layout is built: inodes of one part
/// with the same set share a block, up to the 1024 that ext2 allows. Fills
/// `tables`, which with the pool outlives it.
class XattrTable {
 public:
  XattrTable(const NodePool& pool, LayoutTables& tables)
      : pool_(pool), tables_(tables) {}

  /// The next slot has the attributes `set`. EINVAL or ENOSPC when they are
  /// not such as ext2 can hold.
  Status add(uint32_t slot, XattrsId set);

  /// What is added from now on shares nothing with what was added before.
  void end_part();

  /// Counts the users of each block, from the links of the slots.
  void count_users();

 private:
  Result<bool> needs_block(XattrsId set) const;
  Result<uint32_t> block_for(XattrsId set);

  const NodePool& pool_;
  LayoutTables& tables_;
  std::vector<uint32_t> block_of_set_;  // the last one; see the .cc
};

}  // namespace ovl
