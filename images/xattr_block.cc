// SPDX-License-Identifier: BSD-3-Clause
#include "images/xattr_block.h"

#include <endian.h>
#include <ext2fs/ext2_fs.h>
// Needs the types of the one above.

#include <ext2fs/ext2_ext_attr.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <tuple>

#include "fsengine/base/units.h"
#include "images/acl.h"

namespace ovl {

namespace {

constexpr size_t kTerminatorBytes = 4;
constexpr size_t kMaxXattrName = 255;

enum class Form { kPlain, kAcl };

struct Prefix {
  std::string_view text;
  uint8_t index;
  Form form;
};
// An access control list has no name beyond its index.
constexpr std::array<Prefix, 5> kPrefixes{{
    {"user.", 1, Form::kPlain},
    {"system.posix_acl_access", 2, Form::kAcl},
    {"system.posix_acl_default", 3, Form::kAcl},
    {"trusted.", 4, Form::kPlain},
    {"security.", 6, Form::kPlain},
}};

const Prefix* prefix_of(std::string_view name) {
  const auto at = std::ranges::find_if(kPrefixes, [name](const Prefix& prefix) {
    return prefix.form == Form::kAcl ? name == prefix.text
                                     : name.starts_with(prefix.text);
  });
  return at == kPrefixes.end() ? nullptr : &*at;
}

Result<DiskXattr> to_disk(const Prefix& prefix, const Xattr& xattr) {
  DiskXattr disk{prefix.index, xattr.name.substr(prefix.text.size()),
                 xattr.value};
  if (disk.name.size() > kMaxXattrName)
    return fail(EINVAL, xattr.name + ": the name is too long");
  if (prefix.form == Form::kAcl)
    disk.value = OVL_TRY(acl_to_disk(xattr.value).in(xattr.name));
  return disk;
}

size_t padded(size_t bytes) {
  return (bytes + EXT2_EXT_ATTR_ROUND) & ~size_t{EXT2_EXT_ATTR_ROUND};
}

size_t entry_bytes(const DiskXattr& xattr) {
  return padded(sizeof(ext2_ext_attr_entry) + xattr.name.size());
}

size_t block_bytes(std::span<const DiskXattr> xattrs) {
  size_t bytes = sizeof(ext2_ext_attr_header) + kTerminatorBytes;
  for (const DiskXattr& xattr : xattrs)
    bytes += entry_bytes(xattr) + padded(xattr.value.size());
  return bytes;
}

uint32_t entry_hash(const DiskXattr& xattr) {
  constexpr int kNameShift = 5;
  constexpr int kValueShift = 16;
  uint32_t hash = 0;
  for (const char letter : xattr.name)
    hash = std::rotl(hash, kNameShift) ^ static_cast<uint8_t>(letter);
  for (size_t at = 0; at < xattr.value.size(); at += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, xattr.value.data() + at,
                std::min(sizeof word, xattr.value.size() - at));
    hash = std::rotl(hash, kValueShift) ^ le32toh(word);
  }
  return hash;
}

// 0 tells the kernel not to share the block.
uint32_t block_hash(std::span<const DiskXattr> xattrs) {
  constexpr int kBlockShift = 16;
  uint32_t hash = 0;
  for (const DiskXattr& xattr : xattrs) {
    const uint32_t entry = entry_hash(xattr);
    if (entry == 0)
      return 0;
    hash = std::rotl(hash, kBlockShift) ^ entry;
  }
  return hash;
}

}  // namespace

Result<std::vector<DiskXattr>> to_disk_xattrs(const XattrSet& set) {
  std::vector<DiskXattr> xattrs;
  for (const Xattr& xattr : set)
    if (const Prefix* prefix = prefix_of(xattr.name))
      xattrs.push_back(OVL_TRY(to_disk(*prefix, xattr)));
  std::ranges::sort(xattrs, {}, [](const DiskXattr& xattr) {
    return std::tuple(xattr.name_index, xattr.name.size(),
                      std::string_view(xattr.name));
  });
  if (block_bytes(xattrs) > kBlockSize)
    return fail(ENOSPC,
                "the extended attributes are larger than the 4096 bytes that "
                "ext2 has for them");
  return xattrs;
}

void fill_xattr_block(std::span<const DiskXattr> xattrs, uint32_t users,
                      std::span<std::byte> out) {
  ext2_ext_attr_header header{};
  header.h_magic = htole32(EXT2_EXT_ATTR_MAGIC);
  header.h_refcount = htole32(users);
  header.h_blocks = htole32(1);
  header.h_hash = htole32(block_hash(xattrs));
  std::memcpy(out.data(), &header, sizeof header);
  size_t at = sizeof header;
  size_t value_at = out.size();
  for (const DiskXattr& xattr : xattrs) {
    value_at -= padded(xattr.value.size());
    ext2_ext_attr_entry entry{};
    entry.e_name_len = static_cast<uint8_t>(xattr.name.size());
    entry.e_name_index = xattr.name_index;
    entry.e_value_offs =
        htole16(static_cast<uint16_t>(xattr.value.empty() ? 0 : value_at));
    entry.e_value_size = htole32(static_cast<uint32_t>(xattr.value.size()));
    entry.e_hash = htole32(entry_hash(xattr));
    std::memcpy(out.data() + at, &entry, sizeof entry);
    std::memcpy(out.data() + at + sizeof entry, xattr.name.data(),
                xattr.name.size());
    std::memcpy(out.data() + value_at, xattr.value.data(), xattr.value.size());
    at += entry_bytes(xattr);
  }
}

}  // namespace ovl
