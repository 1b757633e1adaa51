// SPDX-License-Identifier: BSD-3-Clause
//
// What is in use: bitmaps, and their sums for descriptors and superblock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "images/device_map.h"
#include "images/layout.h"

namespace ovl {

struct GroupCount {
  uint16_t free_blocks = 0;
  uint16_t free_inodes = 0;
  uint16_t directories = 0;
  uint16_t untouched_inodes = 0;  // at the end of the group, never in use
};

/// For every group.
std::vector<GroupCount> count_groups(const DeviceMap& map,
                                     const Layout& layout);

/// Fill one bitmap block; what lies beyond the group counts as used.
/// REQUIRES: out.size() == kBlockSize, all zeros.
void fill_block_bitmap(const DeviceMap& map, const Layout& layout,
                       uint32_t group, std::span<std::byte> out);
void fill_inode_bitmap(const DeviceMap& map, const Layout& layout,
                       uint32_t group, std::span<std::byte> out);

}  // namespace ovl
