// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_xattr_reader.h"

#include <endian.h>
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "images/acl.h"

namespace ovl {

namespace {

constexpr uint8_t kAclAccess = 2;
constexpr uint8_t kAclDefault = 3;

// What a kernel shows for a name index; none: it shows nothing.
std::optional<std::string_view> prefix_of(uint8_t index) {
  switch (index) {
    case 1:
      return "user.";
    case kAclAccess:
      return "system.posix_acl_access";
    case kAclDefault:
      return "system.posix_acl_default";
    case 4:
      return "trusted.";
    case 6:
      return "security.";
    default:
      return std::nullopt;
  }
}

bool is_acl(uint8_t index) {
  return index == kAclAccess || index == kAclDefault;
}

tl::unexpected<Error> bad(const char* what) {
  return fail(EUCLEAN, std::string("extended attributes: ") + what);
}

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Status check_name(uint8_t index, std::string_view name) {
  if (is_acl(index) != name.empty())
    return bad("a name has a wrong length");
  if (name.find('\0') != name.npos)
    return bad("a name holds a NUL");
  return {};
}

Status add_xattr(XattrSet& set, uint8_t index, std::string_view name,
                 std::span<const std::byte> value) {
  const std::optional<std::string_view> prefix = prefix_of(index);
  if (!prefix.has_value())
    return {};
  OVL_TRY(check_name(index, name));
  std::string full(*prefix);
  full += name;
  if (!is_acl(index)) {
    set.push_back({std::move(full), std::string(text(value))});
    return {};
  }
  Result<std::string> acl = acl_from_disk(text(value));
  if (!acl.has_value())
    return bad("an access control list is malformed");
  set.push_back({std::move(full), *std::move(acl)});
  return {};
}

struct EntryAt {
  ext2_ext_attr_entry fields;
  std::string_view name;
  size_t next;  // where the next entry begins
};

Result<EntryAt> read_entry(std::span<const std::byte> entries, size_t at) {
  EntryAt entry{};
  if (entries.size() - at < sizeof entry.fields)
    return bad("an entry leaves its area");
  std::memcpy(&entry.fields, entries.data() + at, sizeof entry.fields);
  const size_t length = EXT2_EXT_ATTR_LEN(size_t{entry.fields.e_name_len});
  if (entries.size() - at < length)
    return bad("a name leaves its area");
  entry.name =
      text(entries.subspan(at + sizeof entry.fields, entry.fields.e_name_len));
  entry.next = at + length;
  return entry;
}

Result<std::span<const std::byte>> value_of(const EntryAt& entry,
                                            std::span<const std::byte> values) {
  const size_t offset = le16toh(entry.fields.e_value_offs);
  const size_t size = le32toh(entry.fields.e_value_size);
  if (entry.fields.e_value_inum != 0)
    return bad("a value is in an inode of its own");
  if (size == 0)
    return std::span<const std::byte>();
  if (offset > values.size() || size > values.size() - offset)
    return bad("a value leaves its area");
  return values.subspan(offset, size);
}

bool is_end(std::span<const std::byte> entries, size_t at) {
  uint32_t word = 0;
  if (entries.size() - at < sizeof word)
    return true;
  std::memcpy(&word, entries.data() + at, sizeof word);
  return word == 0;
}

// No byte is of two values, or of one and the entries: so what is read is
// never larger than the area.
Status check_values(std::vector<std::span<const std::byte>> values,
                    const std::byte* entries_end) {
  std::ranges::sort(values, {}, [](const auto& value) { return value.data(); });
  for (const auto value : values) {
    if (value.data() < entries_end)
      return bad("a value overlaps another one, or the entries");
    entries_end = value.data() + value.size();
  }
  return {};
}

// Of one inode, or of one block.
bool has_name_twice(std::span<const Xattr> xattrs) {
  std::vector<std::string_view> names;
  for (const Xattr& xattr : xattrs)
    names.push_back(xattr.name);
  std::ranges::sort(names);
  return std::ranges::adjacent_find(names) != names.end();
}

// Entries are packed from `first`, with zeros behind the last; offsets of
// values count from `area`.
Status read_entries(std::span<const std::byte> area, size_t first,
                    XattrSet& set) {
  const size_t before = set.size();
  std::vector<std::span<const std::byte>> values;
  size_t at = first;
  while (!is_end(area, at)) {
    const EntryAt entry = OVL_TRY(read_entry(area, at));
    const auto value = OVL_TRY(value_of(entry, area));
    OVL_TRY(add_xattr(set, entry.fields.e_name_index, entry.name, value));
    if (!value.empty())
      values.push_back(value);
    at = entry.next;
  }
  if (has_name_twice(std::span(set).subspan(before)))
    return bad("a name is there twice");
  const size_t end = std::min(area.size(), at + sizeof(uint32_t));
  return check_values(std::move(values), area.data() + end);
}

}  // namespace

Status read_inode_xattrs(std::span<const std::byte> area, XattrSet& set) {
  uint32_t magic = 0;
  if (area.size() < sizeof magic)
    return {};
  std::memcpy(&magic, area.data(), sizeof magic);
  if (le32toh(magic) != EXT2_EXT_ATTR_MAGIC)
    return {};
  return read_entries(area.subspan(sizeof magic), 0, set);
}

Status read_block_xattrs(std::span<const std::byte> block, XattrSet& set) {
  return read_entries(block, sizeof(ext2_ext_attr_header), set);
}

Result<uint32_t> xattr_block_users(std::span<const std::byte> block) {
  ext2_ext_attr_header header;
  std::memcpy(&header, block.data(), sizeof header);
  if (le32toh(header.h_magic) != EXT2_EXT_ATTR_MAGIC ||
      le32toh(header.h_blocks) != 1)
    return bad("the block has no valid header");
  return le32toh(header.h_refcount);
}

void sort_xattrs(XattrSet& set) {
  std::ranges::stable_sort(set, {}, &Xattr::name);
  const auto same_name = [](const Xattr& a, const Xattr& b) {
    return a.name == b.name;
  };
  set.erase(std::unique(set.begin(), set.end(), same_name), set.end());
}

}  // namespace ovl
