// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/catalog_inode.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>
#include <xxhash.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "fsengine/base/little_endian.h"
#include "images/decode/mapping.h"
#include "images/ext_xattr_reader.h"

namespace ovl {

namespace {

constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint32_t kUnsupportedFlags = EXT4_ENCRYPT_FL | EXT4_VERITY_FL |
                                       EXT4_EA_INODE_FL | EXT4_INLINE_DATA_FL |
                                       EXT4_CASEFOLD_FL;

uint64_t hash_of(std::span<const std::byte> bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

uint8_t node_flags(uint32_t bits) {
  uint8_t flags = kFlagNone;
  const auto take = [&](uint32_t bit, NodeFlag flag) {
    if ((bits & bit) != 0)
      flags = static_cast<uint8_t>(flags | flag);
  };
  take(EXT2_IMMUTABLE_FL, kFlagImmutable);
  take(EXT2_APPEND_FL, kFlagAppend);
  take(EXT2_NOATIME_FL, kFlagNoAtime);
  take(EXT2_SYNC_FL, kFlagSync);
  return flags;
}

bool has_known_type_of_file(const ExtInode& inode) {
  const uint32_t mode = inode.mode();
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) ||
         S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

Status check_plausible(const ExtInode& inode) {
  if (!has_known_type_of_file(inode))
    return fail(EUCLEAN, fmt::format("its mode is {:o}", inode.mode()));
  if (!inode.extra_size_is_valid())
    return fail(EUCLEAN, "its extra size makes no sense");
  if ((inode.flags() & kUnsupportedFlags) != 0)
    return fail(EUCLEAN, fmt::format("its flags are {:x}", inode.flags()));
  if (inode.mtime().nsec >= kNanosecondsPerSecond)
    return fail(EUCLEAN, "its time has too many nanoseconds");
  if (blocks_for(inode.size()) > UINT32_MAX)
    return fail(EUCLEAN, fmt::format("its size is {}", inode.size()));
  if (inode.xattr_block() > UINT32_MAX)
    return fail(EUCLEAN, "its attributes are not on the device");
  return {};
}

// The same bytes may be pointers, extents, or the target of a symlink.
uint64_t form_of(const ExtInode& inode) {
  return (has_mapping(inode) ? 1 : 0) | (inode.has_extents() ? 2 : 0);
}

// The header of the block is left out: it counts the inodes that share it.
Result<uint64_t> hash_of_xattrs(const BlockSource& view,
                                const ExtInode& inode) {
  uint64_t hash = 0;
  const auto area = inode.xattr_area();
  if (area.size() >= sizeof(uint32_t) &&
      load_le<uint32_t>(area, 0) == EXT2_EXT_ATTR_MAGIC)
    hash = hash_of(area, 0);
  const uint64_t block = inode.xattr_block();
  if (block == 0)
    return hash;
  if ((block + 1) * kBlockSize > view.size())
    return fail(EUCLEAN, "its attributes are not on the device");
  std::array<std::byte, kBlockSize> bytes;
  OVL_TRY(view.read(block * kBlockSize, bytes));
  OVL_TRY(xattr_block_users(bytes));
  return hash_of(std::span(bytes).subspan(sizeof(ext2_ext_attr_header)), hash);
}

}  // namespace

uint32_t generation_of(const ExtInode& inode) {
  const uint64_t birth = htole64(inode.birth());
  if (birth == 0)
    return inode.generation();
  return static_cast<uint32_t>(hash_of(std::as_bytes(std::span(&birth, 1)), 0));
}

ObjectId id_of(Ino ino, const CatalogInode& inode) {
  return {ino, inode.generation, inode.type()};
}

Attributes attributes_of(const CatalogInode& inode) {
  return {inode.mtime_sec,
          inode.mtime_nsec,
          inode.uid,
          inode.gid,
          DeviceNo{inode.rdev},
          inode.mode,
          node_flags(inode.flags)};
}

uint8_t changed_attributes(const CatalogInode& a, const CatalogInode& b) {
  int bits = 0;
  bits |= a.mode != b.mode ? kModeChanged : 0;
  bits |= a.uid != b.uid || a.gid != b.gid ? kOwnerChanged : 0;
  bits |= a.mtime_sec != b.mtime_sec || a.mtime_nsec != b.mtime_nsec
              ? kTimeChanged
              : 0;
  bits |= node_flags(a.flags) != node_flags(b.flags) ? kFlagsChanged : 0;
  bits |= a.rdev != b.rdev ? kDeviceChanged : 0;
  return static_cast<uint8_t>(bits);
}

Result<CatalogInode> describe_inode(const BlockSource& view,
                                    const ExtInode& inode) {
  if (inode.mode() == 0)
    return CatalogInode{};
  OVL_TRY(check_plausible(inode));
  const bool is_device = S_ISCHR(inode.mode()) || S_ISBLK(inode.mode());
  CatalogInode out;
  out.size = inode.size();
  out.mtime_sec = inode.mtime().sec;
  out.mtime_nsec = inode.mtime().nsec;
  out.xattr_hash = OVL_TRY(hash_of_xattrs(view, inode));
  out.pointer_hash = hash_of(inode.pointers(), form_of(inode));
  out.generation = generation_of(inode);
  out.said_generation = out.generation;
  out.uid = inode.uid();
  out.gid = inode.gid();
  out.flags = inode.flags();
  out.xattr_block = static_cast<uint32_t>(inode.xattr_block());
  out.rdev = is_device ? inode.rdev().packed : 0;
  out.mode = inode.mode();
  out.links = inode.links();
  return out;
}

}  // namespace ovl
