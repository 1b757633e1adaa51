// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_inode.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cstring>

#include "fsengine/base/units.h"

namespace ovl {

namespace {

#define OVL_INODE_FIELD(field) offsetof(ext2_inode_large, field)

uint16_t load16(const ExtInode::Bytes& bytes, size_t offset) {
  uint16_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return le16toh(value);
}

uint32_t load32(const ExtInode::Bytes& bytes, size_t offset) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return le32toh(value);
}

uint64_t join(uint32_t high, uint32_t low) {
  return uint64_t{high} << 32 | low;
}

struct Field {
  size_t offset;
  size_t length;
};

constexpr Field kUnseen[] = {
    {OVL_INODE_FIELD(i_atime), 8},  // i_ctime is next
    {OVL_INODE_FIELD(i_dtime), 4},
    {OVL_INODE_FIELD(osd1), 4},  // the low half of the version
    {OVL_INODE_FIELD(osd2.linux2.l_i_checksum_lo), 2},
    {OVL_INODE_FIELD(i_checksum_hi), 6},   // i_ctime_extra is next
    {OVL_INODE_FIELD(i_atime_extra), 16},  // birth time, version
};

void blank_unseen(ExtInode::Bytes& bytes) {
  for (const Field& field : kUnseen)
    std::fill_n(bytes.begin() + field.offset, field.length, std::byte{0});
}

}  // namespace

uint16_t ExtInode::mode() const {
  return load16(bytes_, OVL_INODE_FIELD(i_mode));
}

uint16_t ExtInode::links() const {
  return load16(bytes_, OVL_INODE_FIELD(i_links_count));
}

uint32_t ExtInode::uid() const {
  const uint32_t high = load16(bytes_, OVL_INODE_FIELD(i_uid_high));
  return high << 16 | load16(bytes_, OVL_INODE_FIELD(i_uid));
}

uint32_t ExtInode::gid() const {
  const uint32_t high = load16(bytes_, OVL_INODE_FIELD(i_gid_high));
  return high << 16 | load16(bytes_, OVL_INODE_FIELD(i_gid));
}

uint64_t ExtInode::size() const {
  return join(load32(bytes_, OVL_INODE_FIELD(i_size_high)),
              load32(bytes_, OVL_INODE_FIELD(i_size)));
}

uint32_t ExtInode::flags() const {
  return load32(bytes_, OVL_INODE_FIELD(i_flags));
}

uint32_t ExtInode::generation() const {
  return load32(bytes_, OVL_INODE_FIELD(i_generation));
}

uint64_t ExtInode::xattr_block() const {
  return join(load16(bytes_, OVL_INODE_FIELD(osd2.linux2.l_i_file_acl_high)),
              load32(bytes_, OVL_INODE_FIELD(i_file_acl)));
}

uint64_t ExtInode::allocated_bytes() const {
  const uint64_t count =
      join(load16(bytes_, OVL_INODE_FIELD(osd2.linux2.l_i_blocks_hi)),
           load32(bytes_, OVL_INODE_FIELD(i_blocks)));
  return count * ((flags() & EXT4_HUGE_FILE_FL) != 0 ? kBlockSize : 512);
}

ExtTime ExtInode::mtime() const {
  const auto low =
      static_cast<int32_t>(load32(bytes_, OVL_INODE_FIELD(i_mtime)));
  constexpr size_t kEnd = OVL_INODE_FIELD(i_mtime_extra) + sizeof(uint32_t);
  if (size_t{EXT2_GOOD_OLD_INODE_SIZE} + extra_size() < kEnd)
    return {low, 0};
  const uint32_t extra = load32(bytes_, OVL_INODE_FIELD(i_mtime_extra));
  const int64_t epoch = extra & EXT4_EPOCH_MASK;
  return {low + (epoch << 32), extra >> EXT4_EPOCH_BITS};
}

uint64_t ExtInode::birth() const {
  constexpr size_t kEnd = OVL_INODE_FIELD(i_crtime_extra) + sizeof(uint32_t);
  if (size_t{EXT2_GOOD_OLD_INODE_SIZE} + extra_size() < kEnd)
    return 0;
  return join(load32(bytes_, OVL_INODE_FIELD(i_crtime_extra)),
              load32(bytes_, OVL_INODE_FIELD(i_crtime)));
}

DeviceNo ExtInode::rdev() const {
  const uint32_t old_style = load32(bytes_, OVL_INODE_FIELD(i_block));
  if (old_style != 0)
    return DeviceNo::of(old_style >> 8 & 0xff, old_style & 0xff);
  const uint32_t packed = load32(bytes_, OVL_INODE_FIELD(i_block) + 4);
  return DeviceNo::of(packed >> 8 & 0xfff,
                      (packed & 0xff) | (packed >> 12 & 0xfff00));
}

std::span<const std::byte> ExtInode::pointers() const {
  return std::span(bytes_).subspan(OVL_INODE_FIELD(i_block),
                                   sizeof(uint32_t) * EXT2_N_BLOCKS);
}

std::span<const std::byte> ExtInode::xattr_area() const {
  if (!extra_size_is_valid() || extra_size() == 0)
    return {};
  return std::span(bytes_).subspan(EXT2_GOOD_OLD_INODE_SIZE + extra_size());
}

uint16_t ExtInode::extra_size() const {
  return load16(bytes_, OVL_INODE_FIELD(i_extra_isize));
}

bool ExtInode::extra_size_is_valid() const {
  return extra_size() % 4 == 0 &&
         extra_size() <= Image::kInodeSize - EXT2_GOOD_OLD_INODE_SIZE;
}

bool ExtInode::has_extents() const {
  return (flags() & EXT4_EXTENTS_FL) != 0;
}

// As the kernel decides it: by blocks, not by length.
bool ExtInode::is_fast_symlink() const {
  const uint64_t of_xattrs = xattr_block() != 0 ? kBlockSize : 0;
  return S_ISLNK(mode()) && allocated_bytes() == of_xattrs;
}

uint8_t ext_file_type(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return EXT2_FT_REG_FILE;
    case S_IFDIR:
      return EXT2_FT_DIR;
    case S_IFLNK:
      return EXT2_FT_SYMLINK;
    case S_IFCHR:
      return EXT2_FT_CHRDEV;
    case S_IFBLK:
      return EXT2_FT_BLKDEV;
    case S_IFIFO:
      return EXT2_FT_FIFO;
    default:
      return EXT2_FT_SOCK;
  }
}

bool same_but_for_times(const ExtInode& a, const ExtInode& b) {
  ExtInode::Bytes first = a.bytes();
  ExtInode::Bytes second = b.bytes();
  blank_unseen(first);
  blank_unseen(second);
  return first == second;
}

}  // namespace ovl
