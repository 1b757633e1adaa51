// SPDX-License-Identifier: BSD-3-Clause
// The units that cross folders: block and inode numbers, the block size.
#pragma once

#include <cstdint>

namespace ovl {

/// Block size of every image, in bytes; also the granularity of the store and
/// of hole maps.
inline constexpr uint32_t kBlockSize = 4096;

/// A block of the device.
enum class BlockNo : uint64_t {};
/// An inode number of the image, as the guest sees it. 0 is none.
enum class Ino : uint32_t {};

constexpr uint64_t to_int(BlockNo block) {
  return static_cast<uint64_t>(block);
}
constexpr uint32_t to_int(Ino ino) {
  return static_cast<uint32_t>(ino);
}

/// Blocks of the device that follow each other.
struct BlockRange {
  BlockNo first{};
  uint64_t count = 0;

  uint64_t end() const { return to_int(first) + count; }
  bool operator==(const BlockRange&) const = default;
};

constexpr uint64_t blocks_for(uint64_t bytes) {
  return bytes / kBlockSize + (bytes % kBlockSize != 0 ? 1 : 0);
}

}  // namespace ovl
