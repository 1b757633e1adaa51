// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_dir_reader.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>

#include <fmt/format.h>

namespace ovl {

namespace {

constexpr size_t kHeadSize = 8;

using Block = std::array<std::byte, kBlockSize>;

tl::unexpected<Error> bad(const std::string& what) {
  return fail(EUCLEAN, "directory: " + what);
}

struct RawEntry {
  uint32_t ino = 0;
  uint16_t length = 0;
  uint8_t file_type = 0;
  std::string_view name;
};

RawEntry load_head(const Block& block, size_t at) {
  ext2_dir_entry_2 head;
  std::memcpy(&head, block.data() + at, kHeadSize);
  RawEntry entry;
  entry.ino = le32toh(head.inode);
  entry.length = le16toh(head.rec_len);
  entry.file_type = head.file_type;
  entry.name = {reinterpret_cast<const char*>(block.data()) + at + kHeadSize,
                head.name_len};
  return entry;
}

// REQUIRES: at is a multiple of 4, below kBlockSize.
Result<RawEntry> load_entry(const Block& block, size_t at) {
  if (kBlockSize - at < kHeadSize)
    return bad("an entry leaves its block");
  const RawEntry entry = load_head(block, at);
  if (entry.length < kHeadSize || entry.length % 4 != 0 ||
      entry.length > kBlockSize - at)
    return bad(fmt::format("an entry has length {}", entry.length));
  if (entry.ino != 0 && kHeadSize + entry.name.size() > entry.length)
    return bad("a name leaves its entry");
  return entry;
}

struct FirstEntries {
  Ino self{};
  Ino parent{};
  size_t next = 0;
};

Result<FirstEntries> load_first_entries(const Block& block) {
  const RawEntry dot = OVL_TRY(load_entry(block, 0));
  if (dot.ino == 0 || dot.name != "." || dot.length == kBlockSize)
    return bad("it does not begin with '.'");
  const RawEntry dot_dot = OVL_TRY(load_entry(block, dot.length));
  if (dot_dot.ino == 0 || dot_dot.name != "..")
    return bad("its second name is not '..'");
  return FirstEntries{Ino{dot.ino}, Ino{dot_dot.ino},
                      size_t{dot.length} + dot_dot.length};
}

Status check_name(std::string_view name) {
  if (name.empty())
    return bad("a name is empty");
  if (name == "." || name == "..")
    return bad("'.' or '..' is not where it belongs");
  if (name.find('/') != name.npos || name.find('\0') != name.npos)
    return bad("a name holds a slash or a NUL");
  return {};
}

Status add_name(const RawEntry& entry, StringPool& pool, DirContent& out) {
  OVL_TRY(check_name(entry.name));
  if (pool.full())
    return fail(ENOMEM, "too many names");
  const std::string_view kept = pool.get(pool.add(entry.name));
  out.names.push_back({kept, Ino{entry.ino}, entry.file_type});
  return {};
}

Status parse_block(const Block& block, size_t first, StringPool& pool,
                   DirContent& out) {
  for (size_t at = first; at < kBlockSize;) {
    const RawEntry entry = OVL_TRY(load_entry(block, at));
    if (entry.ino != 0)
      OVL_TRY(add_name(entry, pool, out));
    at += entry.length;
  }
  return {};
}

Status read_block(const BlockSource& device, uint64_t block, Block& out) {
  return device.read(block * kBlockSize, out);
}

Status read_names(const BlockSource& device, const MappedRun& run,
                  StringPool& pool, DirContent& out) {
  Block block;
  for (uint64_t i = 0; i < run.count; ++i) {
    OVL_TRY(read_block(device, to_int(run.device) + i, block));
    size_t first = 0;
    if (run.file_block + i == 0) {
      const FirstEntries entries = OVL_TRY(load_first_entries(block));
      out.self = entries.self;
      out.parent = entries.parent;
      first = entries.next;
    }
    OVL_TRY(parse_block(block, first, pool, out));
  }
  return {};
}

Status check_extent(const BlockMap& map, uint64_t size) {
  if (size == 0 || size % kBlockSize != 0)
    return bad(fmt::format("its size is {}", size));
  uint64_t at = 0;
  for (const MappedRun& run : map.runs) {
    if (run.file_block != at)
      return bad(fmt::format("it has a hole at block {}", at));
    at += run.count;
  }
  if (at != size / kBlockSize || map.data_end != at)
    return bad("its size is not that of its blocks");
  return {};
}

}  // namespace

Result<DirContent> read_directory(const BlockSource& device,
                                  const BlockMap& map, uint64_t size,
                                  StringPool& names) {
  OVL_TRY(check_extent(map, size));
  DirContent content;
  for (const MappedRun& run : map.runs)
    OVL_TRY(read_names(device, run, names, content));
  std::ranges::sort(content.names, {}, &DirName::name);
  const auto twice =
      std::ranges::adjacent_find(content.names, {}, &DirName::name);
  if (twice != content.names.end())
    return bad(fmt::format("name '{}' is there twice", twice->name));
  return content;
}

Result<Ino> read_parent(const BlockSource& device, BlockNo first_block) {
  Block block;
  OVL_TRY(read_block(device, to_int(first_block), block));
  const FirstEntries entries = OVL_TRY(load_first_entries(block));
  return entries.parent;
}

}  // namespace ovl
