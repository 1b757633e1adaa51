// SPDX-License-Identifier: BSD-3-Clause
#include "images/inode_record.h"

#include <endian.h>
#include <ext2fs/ext2_fs.h>

#include <cstring>

namespace ovl {

namespace {

constexpr uint32_t kSectorsPerBlock = kBlockSize / 512;
constexpr int64_t kEarliest = INT32_MIN;
constexpr int64_t kLatest = (int64_t{1} << 34) + INT32_MIN - 1;
static_assert(sizeof(ext2_inode_large) ==
              EXT2_GOOD_OLD_INODE_SIZE + kExtraInodeBytes);

// Seconds in 32 bits; two more bits of them and the nanoseconds in `extra`.
struct DiskTime {
  uint32_t seconds;
  uint32_t extra;
};

DiskTime disk_time(int64_t sec, uint32_t nsec) {
  if (sec < kEarliest || sec > kLatest) {
    sec = sec < kEarliest ? kEarliest : kLatest;
    nsec = 0;
  }
  const auto low = static_cast<uint32_t>(sec);
  const int64_t above = sec - static_cast<int32_t>(low);
  const auto epoch = static_cast<uint32_t>(above >> 32) & 3;
  return {htole32(low), htole32(nsec << 2 | epoch)};
}

void set_times(const Node& node, ext2_inode_large& inode) {
  const DiskTime time = disk_time(node.mtime_sec, node.mtime_nsec);
  inode.i_mtime = inode.i_ctime = inode.i_atime = inode.i_crtime = time.seconds;
  inode.i_mtime_extra = inode.i_ctime_extra = time.extra;
  inode.i_atime_extra = inode.i_crtime_extra = time.extra;
}

uint16_t low16(uint32_t value) {
  return htole16(static_cast<uint16_t>(value & 0xffff));
}
uint16_t high16(uint32_t value) {
  return htole16(static_cast<uint16_t>(value >> 16));
}

void set_owner(const Node& node, ext2_inode_large& inode) {
  inode.i_uid = low16(node.uid);
  inode.i_gid = low16(node.gid);
  inode.osd2.linux2.l_i_uid_high = high16(node.uid);
  inode.osd2.linux2.l_i_gid_high = high16(node.gid);
}

uint32_t flag_bits(const Node& node, const InodeFacts& facts) {
  return ((node.flags & kFlagImmutable) != 0 ? EXT2_IMMUTABLE_FL : 0U) |
         ((node.flags & kFlagAppend) != 0 ? EXT2_APPEND_FL : 0U) |
         (facts.indexed ? EXT2_INDEX_FL : 0U) |
         (facts.extents ? EXT4_EXTENTS_FL : 0U);
}

}  // namespace

std::array<uint32_t, 15> device_pointers(DeviceNo rdev) {
  const uint32_t major = rdev.major_no();
  const uint32_t minor = rdev.minor_no();
  if (major < 256 && minor < 256)
    return {major << 8 | minor};
  return {0, (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12};
}

std::array<uint32_t, 15> symlink_pointers(std::string_view target) {
  std::array<uint32_t, 15> words{};
  std::memcpy(words.data(), target.data(), target.size());
  for (uint32_t& word : words)
    word = le32toh(word);
  return words;
}

Image::InodeBytes inode_record(const Node& node, const InodeFacts& facts) {
  ext2_inode_large inode{};
  inode.i_mode = htole16(node.mode);
  set_owner(node, inode);
  set_times(node, inode);
  inode.i_size = htole32(static_cast<uint32_t>(facts.size));
  inode.i_size_high = htole32(static_cast<uint32_t>(facts.size >> 32));
  const uint32_t links = facts.links > kMaxLinks ? 1 : facts.links;
  inode.i_links_count = htole16(static_cast<uint16_t>(links));
  const uint64_t sectors = uint64_t{facts.blocks} * kSectorsPerBlock;
  inode.i_blocks = htole32(static_cast<uint32_t>(sectors));
  inode.osd2.linux2.l_i_blocks_hi =
      htole16(static_cast<uint16_t>(sectors >> 32));
  for (size_t i = 0; i < facts.pointers.size(); ++i)
    inode.i_block[i] = htole32(facts.pointers[i]);
  inode.i_generation = htole32(facts.generation);
  inode.i_file_acl = htole32(facts.xattr_block);
  inode.i_flags = htole32(flag_bits(node, facts));
  inode.i_extra_isize = htole16(kExtraInodeBytes);
  Image::InodeBytes bytes{};
  std::memcpy(bytes.data(), &inode, sizeof inode);
  return bytes;
}

}  // namespace ovl
