// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_dir_block.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>

#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>

namespace ovl {

namespace {

constexpr size_t kHeadSize = 8;

tl::unexpected<Error> bad(const std::string& what) {
  return fail(EUCLEAN, "directory: " + what);
}

struct RawEntry {
  uint32_t ino = 0;
  uint16_t length = 0;
  uint8_t file_type = 0;
  std::string_view name;
};

RawEntry load_head(const DirBlockBytes& block, size_t at) {
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
Result<RawEntry> load_entry(const DirBlockBytes& block, size_t at) {
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

// Returns where the other names begin.
Result<size_t> load_first_entries(const DirBlockBytes& block,
                                  DirBlockContent& out) {
  const RawEntry dot = OVL_TRY(load_entry(block, 0));
  if (dot.ino == 0 || dot.name != "." || dot.length == kBlockSize)
    return bad("it does not begin with '.'");
  const RawEntry dot_dot = OVL_TRY(load_entry(block, dot.length));
  if (dot_dot.ino == 0 || dot_dot.name != "..")
    return bad("its second name is not '..'");
  out.self = Ino{dot.ino};
  out.parent = Ino{dot_dot.ino};
  return size_t{dot.length} + dot_dot.length;
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

}  // namespace

Result<DirBlockContent> parse_dir_block(const DirBlockBytes& block,
                                        bool is_first) {
  DirBlockContent content;
  size_t at = is_first ? OVL_TRY(load_first_entries(block, content)) : 0;
  while (at < kBlockSize) {
    const RawEntry entry = OVL_TRY(load_entry(block, at));
    at += entry.length;
    if (entry.ino == 0)
      continue;
    OVL_TRY(check_name(entry.name));
    content.names.push_back({entry.name, Ino{entry.ino}, entry.file_type});
  }
  return content;
}

}  // namespace ovl
