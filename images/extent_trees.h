// SPDX-License-Identifier: BSD-3-Clause
//
// The extent trees of an image of type ext4, computed when read. Kept is where
// the extents of trees with blocks of their own begin, 4 bytes an extent.
// Immutable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "images/device_map.h"
#include "images/extent_levels.h"
#include "images/extent_node.h"
#include "images/layout.h"

namespace ovl {

class ExtentTrees {
 public:
  /// `map` outlives it.
  ExtentTrees(const Layout& layout, const DeviceMap& map);

  /// i_block of the inode of `slot`, kNoSlot being the journal's.
  std::array<uint32_t, 15> root(uint32_t slot, const FileMap& map) const;

  /// Fills block `index` of the tree of `slot`. REQUIRES: index <
  /// map.indirect_blocks(); out.size() == kBlockSize, all zeros.
  void fill_block(uint32_t slot, const FileMap& map, uint32_t index,
                  std::span<std::byte> out) const;

 private:
  struct Tree {
    uint32_t slot = 0;
    uint32_t first = 0;    // into starts_
    uint32_t extents = 0;  // before the end that is there, too
  };

  void add_tree(uint32_t slot, const FileMap& map);
  std::vector<uint32_t> starts_by_group(uint32_t slot,
                                        const FileMap& map) const;
  std::span<const uint32_t> starts_of(uint32_t slot) const;
  void add_extents(uint32_t slot, const FileMap& map,
                   std::span<const uint32_t> starts,
                   ExtentNodeWriter& writer) const;
  void add_children(uint32_t slot, const FileMap& map, uint32_t level,
                    std::pair<uint32_t, uint32_t> nodes,
                    ExtentNodeWriter& writer) const;

  const DeviceMap& map_;
  std::vector<Tree> trees_;  // by slot
  /// Of each tree, the data block that each extent begins with, and the end.
  std::vector<uint32_t> starts_;
};

}  // namespace ovl
