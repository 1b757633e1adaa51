// SPDX-License-Identifier: BSD-3-Clause
#include "images/htree_block.h"

#include <endian.h>
#include <ext2fs/ext2_fs.h>

#include <cstring>

namespace ovl {

namespace {

constexpr size_t kDotsBytes = 24;
constexpr size_t kRootOffset = kDotsBytes + sizeof(ext2_dx_root_info);
constexpr size_t kNodeOffset = 8;  // behind a directory entry without name
static_assert(sizeof(ext2_dx_root_info) == 8);
static_assert(sizeof(ext2_dx_entry) == 8);

// The first entry needs no hash: limit and count are kept in its place.
void fill_entries(std::span<const HashedDirectory::IndexEntry> entries,
                  std::span<std::byte> out) {
  for (size_t i = 0; i < entries.size(); ++i) {
    ext2_dx_entry entry{};
    entry.hash = htole32(entries[i].hash);
    entry.block = htole32(entries[i].block);
    std::memcpy(out.data() + i * sizeof entry, &entry, sizeof entry);
  }
  ext2_dx_countlimit counts{};
  counts.limit =
      htole16(static_cast<uint16_t>(out.size() / sizeof(ext2_dx_entry)));
  counts.count = htole16(static_cast<uint16_t>(entries.size()));
  std::memcpy(out.data(), &counts, sizeof counts);
}

}  // namespace

void fill_htree_root(std::span<const HashedDirectory::IndexEntry> entries,
                     uint8_t levels, std::span<std::byte> out) {
  ext2_dx_root_info info{};
  info.hash_version = EXT2_HASH_HALF_MD4;
  info.info_length = sizeof info;
  info.indirect_levels = levels;
  std::memcpy(out.data() + kDotsBytes, &info, sizeof info);
  fill_entries(entries, out.subspan(kRootOffset));
}

void fill_htree_node(std::span<const HashedDirectory::IndexEntry> entries,
                     std::span<std::byte> out) {
  ext2_dir_entry_2 unused{};
  unused.rec_len = htole16(static_cast<uint16_t>(kBlockSize));
  std::memcpy(out.data(), &unused, kNodeOffset);
  fill_entries(entries, out.subspan(kNodeOffset));
}

}  // namespace ovl
