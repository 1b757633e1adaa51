// SPDX-License-Identifier: BSD-3-Clause
//
// How many blocks an extent tree has and on which levels, before it is known
// where the data lies. Extents break where data runs do and where a group of
// blocks ends, which depends on the device; so the tree has blocks for the
// most extents that there can be, spread evenly over its leaves.
#pragma once

#include <array>
#include <cstdint>

namespace ovl {

/// Extents that an inode holds without a tree, and those of a block.
inline constexpr uint32_t kInodeExtents = 4;
inline constexpr uint32_t kBlockExtents = 340;

struct ExtentLevels {
  static constexpr uint32_t kMost = 5;

  uint32_t depth = 0;                   // 0: all extents are in the inode
  std::array<uint32_t, kMost> nodes{};  // blocks of each level, top first

  /// The blocks of the levels above `level`; of all of them for `depth`.
  uint32_t blocks_above(uint32_t level) const;
  uint32_t blocks() const { return blocks_above(depth); }
  uint32_t leaves() const { return nodes[depth - 1]; }

  /// The first child on the level below of node `number` of `level`: its
  /// children end where those of the next node begin.
  /// REQUIRES: level + 1 < depth; number <= nodes[level].
  uint32_t first_child(uint32_t level, uint32_t number) const;
  /// The first leaf in or beneath that node. REQUIRES: level < depth.
  uint32_t first_leaf(uint32_t level, uint32_t number) const;
};

/// The most extents that `data_blocks` blocks in `runs` data runs can have.
uint64_t most_extents(uint64_t runs, uint64_t data_blocks);

ExtentLevels extent_levels(uint64_t extents);

}  // namespace ovl
