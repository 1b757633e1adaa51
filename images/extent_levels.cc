// SPDX-License-Identifier: BSD-3-Clause
#include "images/extent_levels.h"

#include <algorithm>

#include "images/geometry.h"

namespace ovl {

namespace {

// Blocks of a whole group that are data, at least: all but a superblock and
// the most descriptors, bitmaps and inode table that there can be.
constexpr uint32_t kLeastGroupData =
    Shape::kBlocksPerGroup - 1 - 1024 - 2 -
    Shape::kBlocksPerGroup / Shape::kInodesPerBlock;

uint64_t divide_up(uint64_t value, uint64_t by) {
  return (value + by - 1) / by;
}

}  // namespace

uint32_t ExtentLevels::blocks_above(uint32_t level) const {
  uint32_t blocks = 0;
  for (uint32_t i = 0; i < level; ++i)
    blocks += nodes[i];
  return blocks;
}

uint32_t ExtentLevels::first_child(uint32_t level, uint32_t number) const {
  return static_cast<uint32_t>(uint64_t{number} * nodes[level + 1] /
                               nodes[level]);
}

uint32_t ExtentLevels::first_leaf(uint32_t level, uint32_t number) const {
  for (; level + 1 < depth; ++level)
    number = first_child(level, number);
  return number;
}

uint64_t most_extents(uint64_t runs, uint64_t data_blocks) {
  return data_blocks == 0 ? 0
                          : runs + divide_up(data_blocks - 1, kLeastGroupData);
}

ExtentLevels extent_levels(uint64_t extents) {
  ExtentLevels levels;
  while (extents > kInodeExtents) {
    extents = divide_up(extents, kBlockExtents);
    levels.nodes[levels.depth++] = static_cast<uint32_t>(extents);
  }
  std::reverse(levels.nodes.begin(), levels.nodes.begin() + levels.depth);
  return levels;
}

}  // namespace ovl
