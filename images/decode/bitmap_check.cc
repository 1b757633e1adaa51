// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/bitmap_check.h"

#include <array>
#include <cerrno>

#include <fmt/format.h>

namespace ovl {

namespace {

class Bitmaps {
 public:
  Bitmaps(const Image& image, const BlockSource& view)
      : image_(image), view_(view) {}

  Result<bool> has_inode(Ino ino) {
    const uint32_t index = to_int(ino) - 1;
    const uint32_t per_group = image_.inodes_per_group();
    return bit(image_.inode_bitmap(index / per_group), index % per_group);
  }
  Result<bool> has_block(uint64_t block) {
    constexpr uint64_t kPerGroup = uint64_t{8} * kBlockSize;
    return bit(image_.block_bitmap(block / kPerGroup), block % kPerGroup);
  }

 private:
  Result<bool> bit(BlockNo bitmap, uint64_t index) {
    if (bitmap != loaded_)
      OVL_TRY(view_.read(to_int(bitmap) * kBlockSize, bytes_));
    loaded_ = bitmap;
    const auto byte = std::to_integer<uint32_t>(bytes_[index / 8]);
    return (byte >> index % 8 & 1) != 0;
  }

  const Image& image_;
  const BlockSource& view_;
  BlockNo loaded_{};
  std::array<std::byte, kBlockSize> bytes_{};
};

Status check_blocks(Bitmaps& bitmaps, const Mapping& mapping,
                    const BlockSet* still_used) {
  for (const MapRun& run : mapping)
    for (uint32_t i = 0; i < run.count; ++i) {
      const uint64_t block = uint64_t{run.device} + i;
      const bool is_used =
          still_used == nullptr || still_used->test(BlockNo{block});
      if (OVL_TRY(bitmaps.has_block(block)) != is_used)
        return fail(EUCLEAN,
                    fmt::format("the bitmap is wrong of block {}", block));
    }
  return {};
}

}  // namespace

Status check_bitmaps(const Catalog& catalog, const BlockSource& view,
                     const InodePass& inodes) {
  Bitmaps bitmaps(catalog.base().image(), view);
  BlockSet used;
  for (const InodeChange& change : inodes.changes())
    if (change.is_remapped)
      for (const MapRun& run : change.after.mapping)
        used.add(run.block(), run.count);
  for (const InodeChange& change : inodes.changes()) {
    const auto context = [&change] {
      return fmt::format("inode {}", to_int(change.ino));
    };
    const bool is_known =
        change.before.is_free() == change.after.inode.is_free();
    if (is_of_tree(change.ino) && !is_known &&
        OVL_TRY(bitmaps.has_inode(change.ino)) == change.after.inode.is_free())
      return fail(EUCLEAN, context() + ": the bitmap is wrong of it");
    if (change.after.inode.xattr_block != 0)
      used.add(BlockNo{change.after.inode.xattr_block}, 1);
    if (!change.is_remapped)
      continue;
    OVL_TRY(check_blocks(bitmaps, change.after.mapping, nullptr).in(context));
  }
  for (const InodeChange& change : inodes.changes())
    if (change.is_remapped)
      OVL_TRY(check_blocks(bitmaps, change.before_mapping, &used).in([&change] {
        return fmt::format("inode {}", to_int(change.ino));
      }));
  return {};
}

}  // namespace ovl
