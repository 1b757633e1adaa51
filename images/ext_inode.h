// SPDX-License-Identifier: BSD-3-Clause
//
// The fields of an inode on disk, each decoded once. Nothing here judges the
// values: they are what a guest wrote.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/tree.h"
#include "images/image.h"

namespace ovl {

struct ExtTime {
  int64_t sec = 0;
  uint32_t nsec = 0;  // a guest may write up to 2^30 - 1

  bool operator==(const ExtTime&) const = default;
};

class ExtInode {
 public:
  using Bytes = Image::InodeBytes;

  explicit ExtInode(const Bytes& bytes) : bytes_(bytes) {}

  const Bytes& bytes() const { return bytes_; }
  uint16_t mode() const;
  uint16_t links() const;
  uint32_t uid() const;
  uint32_t gid() const;
  uint64_t size() const;
  uint32_t flags() const;
  uint32_t generation() const;
  /// The block of extended attributes, 0 for none.
  uint64_t xattr_block() const;
  /// Bytes that the inode says its blocks take, the attributes' block too.
  uint64_t allocated_bytes() const;
  ExtTime mtime() const;
  /// When it was made, as its bytes are; 0 when that is not said.
  uint64_t birth() const;
  /// Of a device: the new encoding when the old one is empty.
  DeviceNo rdev() const;
  /// The 60 bytes of pointers, extents, or the target of a fast symlink.
  std::span<const std::byte> pointers() const;
  /// Bytes from the attributes' magic number to the end of the inode; empty
  /// when there is no room, or when i_extra_isize makes no sense.
  std::span<const std::byte> xattr_area() const;
  /// False: i_extra_isize points out of the inode, and the times and the
  /// attributes behind it are not to be trusted.
  bool extra_size_is_valid() const;
  bool has_extents() const;
  bool is_fast_symlink() const;

 private:
  uint16_t extra_size() const;

  Bytes bytes_;
};

/// What a directory entry says of an inode with this mode: EXT2_FT_*.
uint8_t ext_file_type(uint32_t mode);

/// True when the two differ at most in what no tree shows: access, change,
/// birth and deletion times, the version, checksums.
bool same_but_for_times(const ExtInode& a, const ExtInode& b);

}  // namespace ovl
