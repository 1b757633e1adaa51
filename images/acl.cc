// SPDX-License-Identifier: BSD-3-Clause
#include "images/acl.h"

#include <endian.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace ovl {

namespace {

constexpr uint32_t kXattrVersion = 2;
constexpr uint32_t kDiskVersion = 1;
constexpr size_t kHeaderBytes = 4;
constexpr size_t kShortBytes = 4;
constexpr size_t kFullBytes = 8;
constexpr uint32_t kUndefinedId = UINT32_MAX;

// acl_tag_t of acl(5).
enum Tag : uint16_t {
  kUserObj = 0x01,
  kUser = 0x02,
  kGroupObj = 0x04,
  kGroup = 0x08,
  kMask = 0x10,
  kOther = 0x20,
};

bool names_someone(uint16_t tag) {
  return tag == kUser || tag == kGroup;
}
bool is_tag(uint16_t tag) {
  return names_someone(tag) || tag == kUserObj || tag == kGroupObj ||
         tag == kMask || tag == kOther;
}

uint16_t tag_at(std::string_view bytes) {
  uint16_t tag = 0;
  std::memcpy(&tag, bytes.data(), sizeof tag);
  return le16toh(tag);
}

std::string le32_bytes(uint32_t value) {
  const uint32_t raw = htole32(value);
  std::string bytes(sizeof raw, '\0');
  std::memcpy(bytes.data(), &raw, sizeof raw);
  return bytes;
}

tl::unexpected<Error> malformed() {
  return fail(EINVAL, "malformed access control list");
}

bool has_version(std::string_view bytes, uint32_t version) {
  return bytes.size() >= kHeaderBytes &&
         bytes.substr(0, kHeaderBytes) == le32_bytes(version);
}

}  // namespace

Result<std::string> acl_to_disk(std::string_view value) {
  if (!has_version(value, kXattrVersion) ||
      (value.size() - kHeaderBytes) % kFullBytes != 0)
    return malformed();
  std::string disk = le32_bytes(kDiskVersion);
  for (size_t at = kHeaderBytes; at < value.size(); at += kFullBytes) {
    const uint16_t tag = tag_at(value.substr(at));
    if (!is_tag(tag))
      return malformed();
    disk += value.substr(at, names_someone(tag) ? kFullBytes : kShortBytes);
  }
  return disk;
}

Result<std::string> acl_from_disk(std::string_view disk) {
  if (!has_version(disk, kDiskVersion))
    return malformed();
  std::string value = le32_bytes(kXattrVersion);
  size_t at = kHeaderBytes;
  while (at < disk.size()) {
    if (disk.size() - at < kShortBytes)
      return malformed();
    const uint16_t tag = tag_at(disk.substr(at));
    const size_t bytes = names_someone(tag) ? kFullBytes : kShortBytes;
    if (!is_tag(tag) || disk.size() - at < bytes)
      return malformed();
    value += disk.substr(at, bytes);
    if (bytes == kShortBytes)
      value += le32_bytes(kUndefinedId);
    at += bytes;
  }
  return value;
}

}  // namespace ovl
