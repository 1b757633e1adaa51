// SPDX-License-Identifier: BSD-3-Clause
#include "images/extent_trees.h"

#include <endian.h>

#include <algorithm>
#include <cstring>

namespace ovl {

namespace {

std::vector<uint32_t> halve_some(const std::vector<uint32_t>& starts,
                                 uint64_t wanted) {
  uint64_t missing = wanted - (starts.size() - 1);
  std::vector<uint32_t> halved{0};
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const uint32_t half = (starts[i + 1] - starts[i]) / 2;
    if (missing > 0 && half > 0) {
      halved.push_back(starts[i] + half);
      --missing;
    }
    halved.push_back(starts[i + 1]);
  }
  return halved;
}

// The extents are spread evenly over the leaves.
uint32_t first_extent(std::span<const uint32_t> starts,
                      const ExtentLevels& levels, uint32_t leaf) {
  const uint64_t extents = starts.size() - 1;
  return static_cast<uint32_t>(leaf * extents / levels.leaves());
}

}  // namespace

ExtentTrees::ExtentTrees(const Layout& layout, const DeviceMap& map)
    : map_(map) {
  if (layout.type() != FsType::kExt4)
    return;
  const auto slots = static_cast<uint32_t>(layout.slots().size());
  for (uint32_t slot = 0; slot < slots; ++slot) {
    if (layout.slot(slot).links == 0 || layout.blocks_of(slot) <= kInodeExtents)
      continue;
    const FileMap file = layout.file_map(slot);
    if (file.indirect_blocks() > 0)
      add_tree(slot, file);
  }
}

// A tree has blocks for the most extents that there can be. Where there are
// fewer, some are halved, because e2fsck would offer to shorten the tree.
void ExtentTrees::add_tree(uint32_t slot, const FileMap& map) {
  const auto starts =
      halve_some(starts_by_group(slot, map), map.most_extents());
  trees_.push_back({slot, static_cast<uint32_t>(starts_.size()),
                    static_cast<uint32_t>(starts.size() - 1)});
  starts_.insert(starts_.end(), starts.begin(), starts.end());
}

std::vector<uint32_t> ExtentTrees::starts_by_group(uint32_t slot,
                                                   const FileMap& map) const {
  std::vector<uint32_t> starts{0};
  while (starts.back() < map.data_blocks()) {
    const uint32_t data = starts.back();
    const uint32_t position =
        map_.position_of(slot, map.indirect_blocks() + data);
    starts.push_back(data +
                     std::min(map.data_at(data).blocks,
                              map_.geometry().contiguous_from(position)));
  }
  return starts;
}

std::span<const uint32_t> ExtentTrees::starts_of(uint32_t slot) const {
  const auto tree = std::ranges::lower_bound(trees_, slot, {}, &Tree::slot);
  return std::span(starts_).subspan(tree->first, tree->extents + 1);
}

std::array<uint32_t, 15> ExtentTrees::root(uint32_t slot,
                                           const FileMap& map) const {
  std::array<uint32_t, 15> words{};
  const ExtentLevels levels = map.extent_levels();
  ExtentNodeWriter writer(std::as_writable_bytes(std::span(words)),
                          levels.depth);
  if (levels.depth == 0)
    add_extents(slot, map, starts_by_group(slot, map), writer);
  else
    add_children(slot, map, 0, {0, levels.nodes[0]}, writer);
  for (uint32_t& word : words)
    word = le32toh(word);
  return words;
}

void ExtentTrees::fill_block(uint32_t slot, const FileMap& map, uint32_t index,
                             std::span<std::byte> out) const {
  const ExtentLevels levels = map.extent_levels();
  uint32_t level = 0;
  while (index >= levels.blocks_above(level + 1))
    ++level;
  const uint32_t number = index - levels.blocks_above(level);
  const uint32_t below = level + 1;
  ExtentNodeWriter writer(out, levels.depth - below);
  if (below < levels.depth)
    return add_children(slot, map, below,
                        {levels.first_child(level, number),
                         levels.first_child(level, number + 1)},
                        writer);
  const auto starts = starts_of(slot);
  const uint32_t first = first_extent(starts, levels, number);
  const uint32_t end = first_extent(starts, levels, number + 1);
  add_extents(slot, map, starts.subspan(first, end - first + 1), writer);
}

void ExtentTrees::add_extents(uint32_t slot, const FileMap& map,
                              std::span<const uint32_t> starts,
                              ExtentNodeWriter& writer) const {
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const uint32_t position =
        map_.position_of(slot, map.indirect_blocks() + starts[i]);
    writer.add_extent(map.data_at(starts[i]).first_block,
                      map_.geometry().block_at(position),
                      starts[i + 1] - starts[i]);
  }
}

// The nodes [first, second) of `level`.
void ExtentTrees::add_children(uint32_t slot, const FileMap& map,
                               uint32_t level,
                               std::pair<uint32_t, uint32_t> nodes,
                               ExtentNodeWriter& writer) const {
  const ExtentLevels levels = map.extent_levels();
  const auto starts = starts_of(slot);
  for (uint32_t number = nodes.first; number < nodes.second; ++number) {
    const uint32_t leaf = levels.first_leaf(level, number);
    const uint32_t data = starts[first_extent(starts, levels, leaf)];
    const uint32_t block = levels.blocks_above(level) + number;
    writer.add_child(map.data_at(data).first_block,
                     map_.geometry().block_at(map_.position_of(slot, block)));
  }
}

}  // namespace ovl
