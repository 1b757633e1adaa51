// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_superblock.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string>

#include <fmt/format.h>

namespace ovl {

namespace {

constexpr uint32_t kCompat = EXT3_FEATURE_COMPAT_HAS_JOURNAL |
                             EXT2_FEATURE_COMPAT_EXT_ATTR |
                             EXT2_FEATURE_COMPAT_DIR_INDEX;
constexpr uint32_t kIncompat =
    EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
    EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG;
constexpr uint32_t kRoCompat =
    EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
    EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |
    EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE;

using Super = ext2_super_block;

Result<Super> read_superblock(const BlockSource& device) {
  Super super;
  if (device.size() < SUPERBLOCK_OFFSET + sizeof super)
    return fail(ENOTSUP, "the device is too small for a file system");
  OVL_TRY(device.read(SUPERBLOCK_OFFSET,
                      std::as_writable_bytes(std::span(&super, 1))));
  return super;
}

Status check_identity(const Super& super, const Uuid& uuid) {
  if (le16toh(super.s_magic) != EXT2_SUPER_MAGIC)
    return fail(ENOTSUP, "there is no ext2 file system on the device");
  if (!std::ranges::equal(super.s_uuid, uuid))
    return fail(ENOTSUP, "another file system was made on the device");
  return {};
}

constexpr char kNotClean[] = "the file system is not clean: ";

Result<FsMode> mode_of(const Super& super) {
  const uint32_t state = le16toh(super.s_state);
  if ((state & EXT2_ERROR_FS) != 0)
    return fail(EBUSY,
                std::string(kNotClean) + "errors were found in it, run e2fsck");
  if ((le32toh(super.s_feature_incompat) & EXT3_FEATURE_INCOMPAT_RECOVER) != 0)
    return FsMode::kJournal;
  return (state & EXT2_VALID_FS) != 0 ? FsMode::kClean : FsMode::kUnjournaled;
}

Status check_clean(const Super& super) {
  const FsMode mode = OVL_TRY(mode_of(super));
  const std::string prefix = kNotClean;
  if (mode == FsMode::kJournal)
    return fail(EBUSY, prefix + "it is mounted or its journal needs recovery");
  if (mode == FsMode::kUnjournaled)
    return fail(EBUSY, prefix + "it is mounted or was not unmounted");
  if (le32toh(super.s_last_orphan) != 0)
    return fail(EBUSY, prefix + "it has orphans that a mount would remove");
  return {};
}

struct FeatureWord {
  const char* kind;
  uint32_t present;
  uint32_t known;
};

Status check_features(const Super& super) {
  const std::array<FeatureWord, 3> words = {{
      {"compat", le32toh(super.s_feature_compat), kCompat},
      {"incompat", le32toh(super.s_feature_incompat),
       kIncompat | EXT3_FEATURE_INCOMPAT_RECOVER},
      {"ro_compat", le32toh(super.s_feature_ro_compat), kRoCompat},
  }};
  std::string names;
  for (const FeatureWord& word : words)
    if ((word.present & ~word.known) != 0)
      names += fmt::format(" {} 0x{:x}", word.kind, word.present & ~word.known);
  if (!names.empty())
    return fail(ENOTSUP, "features that are not supported:" + names);
  return {};
}

uint64_t blocks_count(const Super& super) {
  const uint64_t low = le32toh(super.s_blocks_count);
  if ((le32toh(super.s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT) == 0)
    return low;
  return uint64_t{le32toh(super.s_blocks_count_hi)} << 32 | low;
}

// What every image of ours has, and no guest can change but by mkfs.
Status check_geometry(const Super& super, uint64_t device_size) {
  if (le32toh(super.s_rev_level) != EXT2_DYNAMIC_REV ||
      le32toh(super.s_creator_os) != EXT2_OS_LINUX ||
      le32toh(super.s_log_block_size) != 2 ||
      le32toh(super.s_first_data_block) != 0 ||
      le32toh(super.s_blocks_per_group) != 8 * kBlockSize ||
      le32toh(super.s_first_ino) != EXT2_GOOD_OLD_FIRST_INO ||
      le16toh(super.s_inode_size) != Image::kInodeSize)
    return fail(ENOTSUP,
                "block, group or inode size is not that of an ovl image");
  if (blocks_count(super) > device_size / kBlockSize)
    return fail(EUCLEAN, "the file system is larger than the device");
  return {};
}

}  // namespace

Result<FsMode> read_mode(const BlockSource& device, const Uuid& uuid) {
  const Super super = OVL_TRY(read_superblock(device));
  OVL_TRY(check_identity(super, uuid));
  OVL_TRY(check_features(super));
  OVL_TRY(check_geometry(super, device.size()));
  return mode_of(super);
}

Status check_superblock(const BlockSource& device, const Uuid& uuid) {
  const Super super = OVL_TRY(read_superblock(device));
  OVL_TRY(check_identity(super, uuid));
  OVL_TRY(check_clean(super));
  OVL_TRY(check_features(super));
  return check_geometry(super, device.size());
}

}  // namespace ovl
