// SPDX-License-Identifier: BSD-3-Clause
//
// The blocks of a linear directory: "." and ".." first, then the entries in
// the order of the pool, each block filled as far as its next entry allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "fsengine/base/tree.h"
#include "fsengine/base/units.h"

namespace ovl {

/// The longest name that a directory entry holds, in bytes.
inline constexpr size_t kMaxNameBytes = 255;

/// What an entry takes, in bytes.
uint32_t dir_entry_bytes(size_t name_bytes);

/// Splits `entries` into blocks: returns how many they are, and appends the
/// index of the first entry of each but the first to `starts`.
/// REQUIRES: no name is longer than kMaxNameBytes.
uint32_t pack_directory(const NodePool& pool, std::span<const Entry> entries,
                        std::vector<uint32_t>& starts);

/// Writes the entries of one block, in order.
class DirBlockWriter {
 public:
  /// REQUIRES: out.size() == kBlockSize, all zeros; outlives the writer.
  explicit DirBlockWriter(std::span<std::byte> out) : out_(out) {}

  /// `mode` tells the file type. REQUIRES: there is room.
  void add(Ino ino, uint16_t mode, std::string_view name);

  /// Lets the last entry reach to the end of the block.
  void finish();

 private:
  std::span<std::byte> out_;
  size_t last_ = 0;
  size_t end_ = 0;
};

}  // namespace ovl
