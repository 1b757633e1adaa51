// SPDX-License-Identifier: BSD-3-Clause
//
// One inode's 256 bytes.
#pragma once

#include <array>
#include <cstdint>

#include "fsengine/base/tree.h"
#include "images/image.h"

namespace ovl {

/// The most names of a file, and subdirectories but two of a directory, that
/// an inode counts.
inline constexpr uint32_t kMaxLinks = 65000;

/// What an inode says that its node does not.
struct InodeFacts {
  uint64_t size = 0;    // as the inode states it
  uint32_t links = 0;   // of a directory more than kMaxLinks are stated as 1
  uint32_t blocks = 0;  // of kBlockSize, with those of attributes
  uint32_t generation = 0;
  uint32_t xattr_block = 0;  // 0: none
  bool indexed = false;      // a hashed directory
  bool extents = false;      // pointers are the root of an extent tree
  std::array<uint32_t, 15> pointers{};
};

/// Bytes of an inode beyond the first 128 that are fields.
inline constexpr uint16_t kExtraInodeBytes = 32;

/// i_block of a device node.
std::array<uint32_t, 15> device_pointers(DeviceNo rdev);

/// Symlink targets shorter than this are kept in the inode.
inline constexpr size_t kFastSymlinkBytes = 60;

/// i_block of a symlink with a short target.
/// REQUIRES: target.size() < kFastSymlinkBytes.
std::array<uint32_t, 15> symlink_pointers(std::string_view target);

/// Encodes type, mode, owner and times of `node`, and `facts`. The times of
/// change, access and birth are that of modification: they are no part of the
/// tree, and a fixed value makes equal trees equal bytes. Times outside the
/// 34 bits that an inode has are moved to the nearest that it can hold.
Image::InodeBytes inode_record(const Node& node, const InodeFacts& facts);

}  // namespace ovl
