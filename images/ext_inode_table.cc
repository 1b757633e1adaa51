// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_inode_table.h"

#include <endian.h>

#include <algorithm>
#include <array>
#include <bit>

namespace ovl {

namespace {

constexpr uint32_t kWindowBits = 8 * kBlockSize;
constexpr uint32_t kInodesPerBlock = kBlockSize / Image::kInodeSize;

using Window = std::array<uint64_t, kWindowBits / 64>;

void append_set_bits(uint64_t word, uint64_t first, uint64_t last,
                     std::vector<Ino>& out) {
  for (; word != 0; word &= word - 1) {
    const uint64_t ino = first + static_cast<uint64_t>(std::countr_zero(word));
    if (ino <= last)
      out.push_back(Ino{static_cast<uint32_t>(ino)});
  }
}

}  // namespace

Result<std::vector<Ino>> used_inodes(ext2_filsys fs) {
  const uint64_t last = fs->super->s_inodes_count;
  std::vector<Ino> used;
  Window window;
  for (uint64_t first = 1; first <= last; first += kWindowBits) {
    const uint64_t count = std::min<uint64_t>(kWindowBits, last - first + 1);
    window.fill(0);
    OVL_TRY(ext2_status(
        ext2fs_get_inode_bitmap_range2(
            fs->inode_map, first, static_cast<size_t>(count), window.data()),
        "read the inode bitmap"));
    for (size_t i = 0; i < window.size(); ++i)
      append_set_bits(le64toh(window[i]), first + 64 * i, last, used);
  }
  return used;
}

Result<ExtInode> InodeTable::read(Ino ino) {
  const uint32_t per_group = fs_->super->s_inodes_per_group;
  const uint32_t index = to_int(ino) - 1;
  const uint32_t in_group = index % per_group;
  const uint64_t table = ext2fs_inode_table_loc(fs_, index / per_group);
  OVL_TRY(load(BlockNo{table + in_group / kInodesPerBlock}));
  if (!loaded_is_written_)
    return ExtInode(input_.base.inode_bytes(ino));
  ExtInode::Bytes bytes;
  const size_t offset = size_t{in_group % kInodesPerBlock} * Image::kInodeSize;
  std::copy_n(bytes_.begin() + offset, bytes.size(), bytes.begin());
  return ExtInode(bytes);
}

Status InodeTable::load(BlockNo block) {
  if (block == loaded_)
    return {};
  loaded_is_written_ = input_.any_written(block, 1);
  if (loaded_is_written_)
    OVL_TRY(input_.device.read(to_int(block) * kBlockSize, bytes_));
  loaded_ = block;
  return {};
}

}  // namespace ovl
