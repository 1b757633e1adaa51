// SPDX-License-Identifier: BSD-3-Clause
#include "images/geometry.h"

#include <algorithm>

namespace ovl {

namespace {

constexpr uint32_t kDescriptorBytes = 32;
constexpr uint32_t kBitmaps = 2;
constexpr uint32_t kBlocksPerGroup = Shape::kBlocksPerGroup;

bool is_power_of(uint32_t base, uint32_t number) {
  while (number % base == 0)
    number /= base;
  return number == 1;
}

// The groups below `groups` with a superblock: rising, without 0 and 1.
std::vector<uint32_t> backup_powers(uint32_t groups) {
  std::vector<uint32_t> powers;
  for (const uint64_t base : {3U, 5U, 7U})
    for (uint64_t power = base; power < groups; power *= base)
      powers.push_back(static_cast<uint32_t>(power));
  std::ranges::sort(powers);
  return powers;
}

uint32_t count_superblocks(uint32_t groups) {
  uint32_t count = std::min(groups, 2U);
  for (const uint64_t base : {3U, 5U, 7U})
    for (uint64_t power = base; power < groups; power *= base)
      ++count;
  return count;
}

}  // namespace

bool has_superblock(uint32_t group) {
  return group <= 1 || is_power_of(3, group) || is_power_of(5, group) ||
         is_power_of(7, group);
}

uint32_t Shape::descriptor_blocks() const {
  return static_cast<uint32_t>(blocks_for(uint64_t{groups} * kDescriptorBytes));
}

uint32_t Shape::metadata_of(uint32_t group) const {
  const uint32_t copies = has_superblock(group) ? 1 + descriptor_blocks() : 0;
  return copies + kBitmaps + table_blocks();
}

uint64_t Shape::metadata_blocks() const {
  return uint64_t{groups} * (kBitmaps + table_blocks()) +
         uint64_t{count_superblocks(groups)} * (1 + descriptor_blocks());
}

Geometry::Geometry(uint64_t device_blocks, const Shape& shape)
    : device_blocks_(device_blocks), shape_(shape) {
  std::vector<uint32_t> with_superblock{0};
  if (shape.groups > 1)
    with_superblock.push_back(1);
  std::ranges::copy(backup_powers(shape.groups),
                    std::back_inserter(with_superblock));
  const uint32_t copies = 1 + shape_.descriptor_blocks();
  for (const uint32_t group : with_superblock) {
    const auto before = static_cast<uint32_t>(backups_.size());
    backups_.push_back({group, group * full_group_data() - before * copies});
  }
}

// Of a group of full size without superblock.
uint32_t Geometry::full_group_data() const {
  return kBlocksPerGroup - kBitmaps - shape_.table_blocks();
}

uint32_t Geometry::first_block(uint32_t group) const {
  return group * kBlocksPerGroup;
}

uint32_t Geometry::blocks_in(uint32_t group) const {
  return std::min(kBlocksPerGroup, shape_.blocks - first_block(group));
}

uint32_t Geometry::block_bitmap(uint32_t group) const {
  const uint32_t copies =
      has_superblock(group) ? 1 + shape_.descriptor_blocks() : 0;
  return first_block(group) + copies;
}

uint32_t Geometry::inode_bitmap(uint32_t group) const {
  return block_bitmap(group) + 1;
}

uint32_t Geometry::inode_table(uint32_t group) const {
  return block_bitmap(group) + kBitmaps;
}

uint32_t Geometry::first_position(uint32_t group) const {
  if (group == shape_.groups)
    return static_cast<uint32_t>(shape_.blocks - shape_.metadata_blocks());
  const auto next =
      std::ranges::lower_bound(backups_, group, {}, &Backup::group);
  const auto before = static_cast<uint32_t>(next - backups_.begin());
  return group * full_group_data() - before * (1 + shape_.descriptor_blocks());
}

uint32_t Geometry::group_of(uint32_t position) const {
  const auto& backup = *std::prev(std::ranges::upper_bound(
      backups_, position, {}, &Backup::first_position));
  const uint32_t ahead = position - backup.first_position;
  const uint32_t own = full_group_data() - 1 - shape_.descriptor_blocks();
  if (ahead < own)
    return backup.group;
  return backup.group + 1 + (ahead - own) / full_group_data();
}

BlockNo Geometry::block_at(uint32_t position) const {
  const uint32_t group = group_of(position);
  const uint32_t data = first_block(group) + shape_.metadata_of(group);
  return BlockNo{data + (position - first_position(group))};
}

uint32_t Geometry::contiguous_from(uint32_t position) const {
  return first_position(group_of(position) + 1) - position;
}

Place Geometry::locate(BlockNo block) const {
  const uint64_t number = to_int(block);
  if (number >= shape_.blocks)
    return {Region::kBeyond, 0, 0, device_blocks_ - number};
  const auto group = static_cast<uint32_t>(number / kBlocksPerGroup);
  auto offset = static_cast<uint32_t>(number % kBlocksPerGroup);
  const uint32_t copies =
      has_superblock(group) ? 1 + shape_.descriptor_blocks() : 0;
  if (offset == 0 && copies > 0)
    return {Region::kSuperblock, group, 0, 1};
  if (offset < copies)
    return {Region::kDescriptors, group, offset - 1, copies - offset};
  offset -= copies;
  if (offset < kBitmaps)
    return {offset == 0 ? Region::kBlockBitmap : Region::kInodeBitmap, group, 0,
            1};
  offset -= kBitmaps;
  if (offset < shape_.table_blocks())
    return {Region::kInodeTable, group, offset, shape_.table_blocks() - offset};
  const uint32_t position =
      first_position(group) + offset - shape_.table_blocks();
  return {Region::kData, group, position, first_position(group + 1) - position};
}

}  // namespace ovl
