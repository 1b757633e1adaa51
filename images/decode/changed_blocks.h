// SPDX-License-Identifier: BSD-3-Clause
//
// The blocks that may differ from what the catalog knows, told apart by what
// they were for when it was made. What they are for now follows from inodes
// and mappings, all of which are among them if they differ.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "images/decode/block_set.h"
#include "images/decode/catalog.h"

namespace ovl {

struct ChangedInode {
  bool has_new_map = false;  // a block of its extents or pointers
  Mapping content;           // runs of its content, where they were
};

struct ChangedBlocks {
  std::vector<Ino> inode_blocks;  // the first inode of each
  std::map<Ino, ChangedInode> inodes;
  std::vector<BlockNo> xattr_blocks;
  std::vector<BlockNo> group_metadata;
};

/// Sorts out `changed`; blocks for which `is_current` answers false are left
/// out. Cost: the runs in `changed`, and the blocks that somebody owns.
Result<ChangedBlocks> sort_out(const Catalog& catalog, const BlockSet& changed,
                               const std::function<bool(BlockNo)>& is_changed);

}  // namespace ovl
