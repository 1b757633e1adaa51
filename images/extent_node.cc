// SPDX-License-Identifier: BSD-3-Clause
#include "images/extent_node.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>
// Needs the types of the one above.
#include <ext2fs/ext3_extents.h>

#include <cstring>

namespace ovl {

namespace {

constexpr size_t kEntryBytes = 12;
static_assert(sizeof(ext3_extent_header) == kEntryBytes);
static_assert(sizeof(ext3_extent) == kEntryBytes);
static_assert(sizeof(ext3_extent_idx) == kEntryBytes);

uint16_t little16(uint64_t value) {
  return htole16(static_cast<uint16_t>(value));
}
uint32_t little32(uint64_t value) {
  return htole32(static_cast<uint32_t>(value));
}

}  // namespace

ExtentNodeWriter::ExtentNodeWriter(std::span<std::byte> out, uint32_t depth)
    : out_(out), depth_(depth) {
  ext3_extent_header header{};
  header.eh_magic = little16(EXT3_EXT_MAGIC);
  header.eh_max = little16((out.size() - kEntryBytes) / kEntryBytes);
  header.eh_depth = little16(depth_);
  std::memcpy(out_.data(), &header, sizeof header);
}

void ExtentNodeWriter::add_extent(uint32_t file_block, BlockNo first,
                                  uint32_t count) {
  ext3_extent extent{};
  extent.ee_block = little32(file_block);
  extent.ee_len = little16(count);
  extent.ee_start_hi = little16(to_int(first) >> 32);
  extent.ee_start = little32(to_int(first));
  add(&extent);
}

void ExtentNodeWriter::add_child(uint32_t file_block, BlockNo node) {
  ext3_extent_idx index{};
  index.ei_block = little32(file_block);
  index.ei_leaf = little32(to_int(node));
  index.ei_leaf_hi = little16(to_int(node) >> 32);
  add(&index);
}

void ExtentNodeWriter::add(const void* entry) {
  ++entries_;
  std::memcpy(out_.data() + entries_ * kEntryBytes, entry, kEntryBytes);
  const uint16_t count = little16(entries_);
  std::memcpy(out_.data() + offsetof(ext3_extent_header, eh_entries), &count,
              sizeof count);
}

}  // namespace ovl
