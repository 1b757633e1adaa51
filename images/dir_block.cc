// SPDX-License-Identifier: BSD-3-Clause
#include "images/dir_block.h"

#include <endian.h>
#include <ext2fs/ext2_fs.h>

#include <cstring>

namespace ovl {

namespace {

constexpr uint32_t kHeaderBytes = 8;
constexpr uint32_t kDotsBytes = 24;

uint8_t file_type(uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return EXT2_FT_REG_FILE;
    case S_IFDIR:
      return EXT2_FT_DIR;
    case S_IFCHR:
      return EXT2_FT_CHRDEV;
    case S_IFBLK:
      return EXT2_FT_BLKDEV;
    case S_IFIFO:
      return EXT2_FT_FIFO;
    case S_IFSOCK:
      return EXT2_FT_SOCK;
    case S_IFLNK:
      return EXT2_FT_SYMLINK;
    default:
      return EXT2_FT_UNKNOWN;
  }
}

}  // namespace

uint32_t dir_entry_bytes(size_t name_bytes) {
  return (kHeaderBytes + static_cast<uint32_t>(name_bytes) + 3) & ~3U;
}

uint32_t pack_directory(const NodePool& pool, std::span<const Entry> entries,
                        std::vector<uint32_t>& starts) {
  uint32_t blocks = 1;
  uint32_t used = kDotsBytes;
  for (uint32_t index = 0; index < entries.size(); ++index) {
    const uint32_t bytes = dir_entry_bytes(pool.name(entries[index]).size());
    if (used + bytes > kBlockSize) {
      starts.push_back(index);
      ++blocks;
      used = 0;
    }
    used += bytes;
  }
  return blocks;
}

void DirBlockWriter::add(Ino ino, uint16_t mode, std::string_view name) {
  const auto bytes = static_cast<uint16_t>(dir_entry_bytes(name.size()));
  ext2_dir_entry_2 header{};
  header.inode = htole32(to_int(ino));
  header.rec_len = htole16(bytes);
  header.name_len = static_cast<uint8_t>(name.size());
  header.file_type = file_type(mode);
  std::memcpy(out_.data() + end_, &header, kHeaderBytes);
  std::memcpy(out_.data() + end_ + kHeaderBytes, name.data(), name.size());
  last_ = end_;
  end_ += bytes;
}

void DirBlockWriter::finish() {
  const uint16_t rest = htole16(static_cast<uint16_t>(out_.size() - last_));
  std::memcpy(out_.data() + last_ + offsetof(ext2_dir_entry_2, rec_len), &rest,
              sizeof rest);
}

}  // namespace ovl
