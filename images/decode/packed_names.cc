// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/packed_names.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ovl {

namespace {

constexpr size_t kHeadBytes = 6;

}  // namespace

Result<PackedNames> PackedNames::pack(std::vector<DirName> names) {
  std::ranges::sort(names, {}, &DirName::name);
  if (std::ranges::adjacent_find(names, {}, &DirName::name) != names.end())
    return fail(EUCLEAN, "directory: a name is there twice");
  PackedNames packed;
  for (const DirName& name : names) {
    char head[kHeadBytes];
    const uint32_t ino = to_int(name.ino);
    std::memcpy(head, &ino, sizeof ino);
    head[4] = static_cast<char>(name.file_type);
    head[5] = static_cast<char>(name.name.size());
    packed.bytes_.append(head, kHeadBytes).append(name.name);
  }
  packed.bytes_.shrink_to_fit();
  return packed;
}

Result<PackedNames> PackedNames::from_bytes(std::string bytes) {
  PackedNames packed;
  packed.bytes_ = std::move(bytes);
  std::string_view rest = packed.bytes_;
  std::string_view before;
  while (!rest.empty()) {
    const size_t length = rest.size() < kHeadBytes
                              ? 0
                              : static_cast<uint8_t>(rest[kHeadBytes - 1]);
    if (length == 0 || rest.size() < kHeadBytes + length)
      return fail(EUCLEAN, "names of a directory are cut off");
    const std::string_view name = rest.substr(kHeadBytes, length);
    if (name <= before)
      return fail(EUCLEAN, "names of a directory are out of order");
    before = name;
    rest.remove_prefix(kHeadBytes + length);
  }
  return packed;
}

DirName PackedNames::Iterator::operator*() const {
  uint32_t ino = 0;
  std::memcpy(&ino, rest_.data(), sizeof ino);
  const auto length = static_cast<uint8_t>(rest_[kHeadBytes - 1]);
  return {rest_.substr(kHeadBytes, length), Ino{ino},
          static_cast<uint8_t>(rest_[4])};
}

PackedNames::Iterator& PackedNames::Iterator::operator++() {
  const auto length = static_cast<uint8_t>(rest_[kHeadBytes - 1]);
  rest_.remove_prefix(kHeadBytes + length);
  return *this;
}

}  // namespace ovl
