// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/bitmaps.h"

namespace ovl {

Result<bool> Bitmaps::has_inode(Ino ino) {
  const uint32_t index = to_int(ino) - 1;
  const uint32_t per_group = image_.inodes_per_group();
  return bit(image_.inode_bitmap(index / per_group), index % per_group);
}

Result<bool> Bitmaps::has_block(uint64_t block) {
  constexpr uint64_t kPerGroup = uint64_t{8} * kBlockSize;
  return bit(image_.block_bitmap(block / kPerGroup), block % kPerGroup);
}

Result<bool> Bitmaps::bit(BlockNo bitmap, uint64_t index) {
  if (bitmap != loaded_)
    OVL_TRY(view_.read(to_int(bitmap) * kBlockSize, bytes_));
  loaded_ = bitmap;
  const auto byte = std::to_integer<uint32_t>(bytes_[index / 8]);
  return (byte >> index % 8 & 1) != 0;
}

}  // namespace ovl
