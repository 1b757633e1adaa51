// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/units.h"

namespace ovl {

/// Writes one node of an extent tree: i_block of an inode or a block.
class ExtentNodeWriter {
 public:
  /// `depth` is how many levels are beneath the node. REQUIRES: `out` is all
  /// zeros; outlives the writer.
  ExtentNodeWriter(std::span<std::byte> out, uint32_t depth);

  /// In file order. REQUIRES: there is room; depth is 0.
  void add_extent(uint32_t file_block, BlockNo first, uint32_t count);
  /// A node beneath, in file order. REQUIRES: there is room; depth is not 0.
  void add_child(uint32_t file_block, BlockNo node);

 private:
  void add(const void* entry);

  std::span<std::byte> out_;
  uint32_t depth_;
  uint32_t entries_ = 0;
};

}  // namespace ovl
