// SPDX-License-Identifier: BSD-3-Clause
//
// The profile ext2: what the ext2, ext3 and ext4 drivers all mount. No
// resize_inode, no checksums, 256-byte inodes without the extra_isize feature.
// The profile ext4 has extents and what goes with them; flex_bg is only there
// to be used by those who resize. Checksums of descriptors are cheap, and they
// tell which inodes were never used, so that nobody has to read them.
// Times are 0: that of making would differ from one start to the next.
#include "images/superblock.h"

#include <endian.h>
#include <ext2fs/ext2_fs.h>

#include <algorithm>
#include <cstring>

#include "images/crc16.h"
#include "images/inode_record.h"
#include "images/layout.h"

namespace ovl {

namespace {

constexpr size_t kSuperblockOffset = 1024;
constexpr uint32_t kDescriptorsPerBlock = kBlockSize / sizeof(ext2_group_desc);
constexpr uint16_t kRemountReadOnly = 2;
constexpr uint16_t kNoMountLimit = 0xffff;
constexpr uint8_t kHalfMd4 = 1;
constexpr uint8_t kJournalBackupType = 1;
static_assert(sizeof(ext2_super_block) == 1024);
static_assert(sizeof(ext2_group_desc) == 32);

void set_counts(const SuperblockFacts& facts, ext2_super_block& sb) {
  uint32_t free_blocks = 0;
  uint32_t free_inodes = 0;
  for (const GroupCount& count : facts.counts) {
    free_blocks += count.free_blocks;
    free_inodes += count.free_inodes;
  }
  const Shape& shape = facts.geometry.shape();
  sb.s_inodes_count = htole32(static_cast<uint32_t>(shape.inodes()));
  sb.s_blocks_count = htole32(shape.blocks);
  sb.s_free_blocks_count = htole32(free_blocks);
  sb.s_free_inodes_count = htole32(free_inodes);
  sb.s_blocks_per_group = htole32(Shape::kBlocksPerGroup);
  sb.s_clusters_per_group = htole32(Shape::kBlocksPerGroup);
  sb.s_inodes_per_group = htole32(shape.inodes_per_group);
}

void set_format(ext2_super_block& sb) {
  constexpr uint32_t kLog4096 = 2;
  sb.s_magic = htole16(EXT2_SUPER_MAGIC);
  sb.s_rev_level = htole32(EXT2_DYNAMIC_REV);
  sb.s_log_block_size = htole32(kLog4096);
  sb.s_log_cluster_size = htole32(kLog4096);
  sb.s_first_ino = htole32(to_int(kFirstIno));
  sb.s_inode_size = htole16(Image::kInodeSize);
  sb.s_feature_compat =
      htole32(EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_DIR_INDEX);
  sb.s_feature_incompat = htole32(EXT2_FEATURE_INCOMPAT_FILETYPE);
  sb.s_feature_ro_compat = htole32(EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER |
                                   EXT2_FEATURE_RO_COMPAT_LARGE_FILE);
}

void set_behaviour(ext2_super_block& sb) {
  sb.s_state = htole16(EXT2_VALID_FS);
  sb.s_errors = htole16(kRemountReadOnly);
  sb.s_max_mnt_count = static_cast<int16_t>(htole16(kNoMountLimit));
  sb.s_def_hash_version = kHalfMd4;
  sb.s_flags = htole32(EXT2_FLAGS_UNSIGNED_HASH);
  sb.s_default_mount_opts = htole32(EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL);
}

void set_identity(const Identity& identity, ext2_super_block& sb) {
  std::memcpy(sb.s_uuid, identity.uuid.data(), identity.uuid.size());
  std::memcpy(sb.s_volume_name, identity.label.data(),
              std::min(identity.label.size(), sizeof sb.s_volume_name));
  for (size_t i = 0; i < identity.hash_seed.size(); ++i)
    sb.s_hash_seed[i] = htole32(identity.hash_seed[i]);
}

// e2fsck repairs a damaged journal inode from the copy of its block pointers.
void set_journal(const Image::InodeBytes& bytes, ext2_super_block& sb) {
  ext2_inode_large inode{};
  std::memcpy(&inode, bytes.data(), sizeof inode);
  sb.s_feature_compat |= htole32(EXT3_FEATURE_COMPAT_HAS_JOURNAL);
  sb.s_journal_inum = htole32(to_int(kJournalIno));
  sb.s_jnl_backup_type = kJournalBackupType;
  std::ranges::copy(inode.i_block, sb.s_jnl_blocks);
  sb.s_jnl_blocks[EXT2_N_BLOCKS] = inode.i_size_high;
  sb.s_jnl_blocks[EXT2_N_BLOCKS + 1] = inode.i_size;
}

void set_ext4(ext2_super_block& sb) {
  sb.s_feature_incompat |=
      htole32(EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_FLEX_BG);
  sb.s_feature_ro_compat |= htole32(
      EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
      EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM);
  sb.s_min_extra_isize = sb.s_want_extra_isize = htole16(kExtraInodeBytes);
}

// Of what a descriptor of 32 bytes holds before its checksum.
uint16_t descriptor_checksum(const Uuid& uuid, uint32_t group,
                             const ext2_group_desc& desc) {
  const uint32_t number = htole32(group);
  uint16_t crc = crc16(0xffff, std::as_bytes(std::span(uuid)));
  crc = crc16(crc, std::as_bytes(std::span(&number, 1)));
  const auto bytes = std::as_bytes(std::span(&desc, 1));
  return crc16(crc, bytes.first(offsetof(ext2_group_desc, bg_checksum)));
}

void set_unused(const SuperblockFacts& facts, uint32_t group,
                ext2_group_desc& desc) {
  const uint16_t unused = facts.counts[group].untouched_inodes;
  const bool all = unused == facts.geometry.shape().inodes_per_group;
  desc.bg_itable_unused = htole16(unused);
  desc.bg_flags = htole16(static_cast<uint16_t>(
      EXT2_BG_INODE_ZEROED | (all ? EXT2_BG_INODE_UNINIT : 0)));
  desc.bg_checksum =
      htole16(descriptor_checksum(facts.identity.uuid, group, desc));
}

ext2_group_desc descriptor(const SuperblockFacts& facts, uint32_t group) {
  const GroupCount& count = facts.counts[group];
  ext2_group_desc desc{};
  desc.bg_block_bitmap = htole32(facts.geometry.block_bitmap(group));
  desc.bg_inode_bitmap = htole32(facts.geometry.inode_bitmap(group));
  desc.bg_inode_table = htole32(facts.geometry.inode_table(group));
  desc.bg_free_blocks_count = htole16(count.free_blocks);
  desc.bg_free_inodes_count = htole16(count.free_inodes);
  desc.bg_used_dirs_count = htole16(count.directories);
  if (facts.type == FsType::kExt4)
    set_unused(facts, group, desc);
  return desc;
}

}  // namespace

void fill_superblock(const SuperblockFacts& facts, uint32_t group,
                     std::span<std::byte> out) {
  ext2_super_block sb{};
  set_counts(facts, sb);
  set_format(sb);
  set_behaviour(sb);
  set_identity(facts.identity, sb);
  if (facts.type == FsType::kExt4)
    set_ext4(sb);
  if (facts.journal_inode != nullptr)
    set_journal(*facts.journal_inode, sb);
  sb.s_block_group_nr = htole16(static_cast<uint16_t>(group));
  std::memcpy(out.data() + (group == 0 ? kSuperblockOffset : 0), &sb,
              sizeof sb);
}

void fill_descriptors(const SuperblockFacts& facts, uint32_t index,
                      std::span<std::byte> out) {
  const uint32_t first = index * kDescriptorsPerBlock;
  const uint32_t end =
      std::min(first + kDescriptorsPerBlock, facts.geometry.shape().groups);
  for (uint32_t group = first; group < end; ++group) {
    const ext2_group_desc desc = descriptor(facts, group);
    std::memcpy(out.data() + (group - first) * sizeof desc, &desc, sizeof desc);
  }
}

}  // namespace ovl
