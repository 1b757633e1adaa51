// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>

#include "fsengine/base/block_source.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"
#include "images/image.h"

namespace ovl {

/// The bitmaps of a guest's file system, of which one block is kept: ask in
/// order. For one thread at a time.
class Bitmaps {
 public:
  /// `view` has the geometry of `image`; both outlive it.
  Bitmaps(const Image& image, const BlockSource& view)
      : image_(image), view_(view) {}

  Result<bool> has_inode(Ino ino);
  Result<bool> has_block(uint64_t block);

 private:
  Result<bool> bit(BlockNo bitmap, uint64_t index);

  const Image& image_;
  const BlockSource& view_;
  BlockNo loaded_{};
  std::array<std::byte, kBlockSize> bytes_{};
};

}  // namespace ovl
