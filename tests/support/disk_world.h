// SPDX-License-Identifier: BSD-3-Clause
//
// A small disk over a base of letters and zeros, and what it must hold: a
// letter for each sector.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fsengine/store/disk.h"

namespace ovl {

inline constexpr uint64_t kSectorBytes = 512;
inline constexpr uint64_t kSectorsInBlock = kBlockSize / kSectorBytes;

/// The first half is letters, the second is known to be zeros.
class LetterBase : public BlockSource {
 public:
  explicit LetterBase(uint64_t blocks, char first = 'A')
      : size_(blocks * kBlockSize), first_(first) {}

  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    for (std::byte& byte : out)
      byte = static_cast<std::byte>(letter(offset++));
    return {};
  }
  uint64_t zeros_at(uint64_t offset, uint64_t length) const override {
    return offset >= size_ / 2 ? length : 0;
  }
  /// All of it as letters.
  std::string sectors() const {
    std::string text;
    for (uint64_t at = 0; at < size_; at += kSectorBytes)
      text += letter(at);
    return text;
  }

 private:
  char letter(uint64_t offset) const {
    return offset < size_ / 2
               ? static_cast<char>(first_ +
                                   static_cast<char>(offset / kBlockSize % 26))
               : '\0';
  }

  const uint64_t size_;
  const char first_;
};

/// A letter for each sector, '?' for one that is not all one letter.
inline std::string sectors_of(const Disk& disk) {
  std::vector<std::byte> bytes(disk.size());
  if (!disk.read(0, bytes))
    return "unreadable";
  std::string text;
  for (uint64_t at = 0; at < bytes.size(); at += kSectorBytes) {
    const auto sector = std::span(bytes).subspan(at, kSectorBytes);
    const bool same = std::ranges::all_of(
        sector, [&](std::byte byte) { return byte == sector[0]; });
    text += same ? static_cast<char>(sector[0]) : '?';
  }
  return text;
}

}  // namespace ovl
