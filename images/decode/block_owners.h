// SPDX-License-Identifier: BSD-3-Clause
//
// From a block of the device to the inode whose mapping has it: 12 bytes a run,
// in short sorted vectors.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "fsengine/base/units.h"
#include "images/decode/mapping.h"

namespace ovl {

class BlockOwners {
 public:
  /// Blocks change hands one inode at a time: between add() for the one and
  /// remove() for the other they are of both, and find() is not to be called.
  void add(Ino ino, const Mapping& mapping);
  /// REQUIRES: add(ino, mapping) was called.
  void remove(Ino ino, const Mapping& mapping);

  struct Owner {
    Ino ino{};
    uint32_t file_block = 0;
    bool is_map = false;  // a block of extents or pointers
  };
  struct Answer {
    std::optional<Owner> owner;  // of the first block; none: nobody
    uint64_t count = 0;          // blocks that this is true of
  };
  /// Whose `first` is, and at most `max` blocks behind it. REQUIRES: max > 0.
  Answer find(BlockNo first, uint64_t max) const;

  uint64_t memory_bytes() const;

 private:
  static constexpr uint32_t kChunk = 1024;
  static constexpr uint32_t kNoFileBlock = UINT32_MAX;
  struct Part {
    uint16_t first = 0;  // in the chunk
    uint16_t count = 0;
    uint32_t ino = 0;
    uint32_t file_block = 0;  // kNoFileBlock: a map block
  };

  std::unordered_map<uint32_t, std::vector<Part>> chunks_;
};

}  // namespace ovl
