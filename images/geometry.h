// SPDX-License-Identifier: BSD-3-Clause
//
// Where an ext2 file system keeps what, as arithmetic. Every group begins with
// its metadata, so that all of the rest is the *data space*: the sequence of
// blocks that are not metadata, numbered by *position* from 0.
//
//   group:  [superblock, descriptors]  block bitmap  inode bitmap  inode table
//           (groups 0, 1, 3^n, 5^n, 7^n)                          then data
//
// Bitmaps and tables lie within their own group: without flex_bg the kernel
// refuses anything else. Immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/units.h"

namespace ovl {

/// What tells one geometry from another.
struct Shape {
  static constexpr uint32_t kBlocksPerGroup = 8 * kBlockSize;
  static constexpr uint32_t kInodesPerBlock = 16;

  uint32_t blocks = 0;
  uint32_t groups = 0;
  uint32_t inodes_per_group = 0;  // a multiple of kInodesPerBlock

  uint32_t descriptor_blocks() const;
  uint32_t table_blocks() const { return inodes_per_group / kInodesPerBlock; }
  /// Metadata blocks of one group, and of all of them.
  uint32_t metadata_of(uint32_t group) const;
  uint64_t metadata_blocks() const;
  uint64_t inodes() const { return uint64_t{groups} * inodes_per_group; }
};

/// True when `group` has a copy of superblock and descriptors.
bool has_superblock(uint32_t group);

enum class Region {
  kSuperblock,
  kDescriptors,
  kBlockBitmap,
  kInodeBitmap,
  kInodeTable,
  kData,
  kBeyond,  // of the device, but not of the file system
};

/// What a block of the device is for.
struct Place {
  Region region = Region::kBeyond;
  uint32_t group = 0;
  uint32_t index = 0;  // block of the region; in kData the position
  uint64_t count = 0;  // blocks of the region from here to its end
};

class Geometry {
 public:
  /// REQUIRES: shape.blocks <= device_blocks, and each group holds its
  /// metadata.
  Geometry(uint64_t device_blocks, const Shape& shape);

  const Shape& shape() const { return shape_; }
  uint64_t device_blocks() const { return device_blocks_; }

  uint32_t first_block(uint32_t group) const;
  uint32_t blocks_in(uint32_t group) const;
  uint32_t block_bitmap(uint32_t group) const;
  uint32_t inode_bitmap(uint32_t group) const;
  uint32_t inode_table(uint32_t group) const;

  /// The data space of `group` is [first_position(group),
  /// first_position(group + 1)). Also for group == groups.
  uint32_t first_position(uint32_t group) const;
  uint32_t data_blocks() const { return first_position(shape_.groups); }

  /// REQUIRES: position < data_blocks().
  uint32_t group_of(uint32_t position) const;
  BlockNo block_at(uint32_t position) const;
  /// How many positions from this one on are consecutive blocks.
  uint32_t contiguous_from(uint32_t position) const;

  /// REQUIRES: to_int(block) < device_blocks().
  Place locate(BlockNo block) const;

 private:
  uint32_t full_group_data() const;

  uint64_t device_blocks_;
  Shape shape_;
  struct Backup {
    uint32_t group = 0;
    uint32_t first_position = 0;
  };
  std::vector<Backup> backups_;  // the groups that has_superblock() tells
};

}  // namespace ovl
