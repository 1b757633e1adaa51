// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fsengine/base/units.h"

namespace ovl {

/// Where a guest writes densely, in pieces: there the store takes space ahead
/// of it. Which chunks of the device that are; the essay is in the .cc. For one
/// thread at a time.
class SpaceAhead {
 public:
  struct Rules {
    uint32_t chunk_blocks = (16 << 20) / kBlockSize;
    uint32_t enough_blocks = 8;  // placed in a chunk since the last pass
    uint32_t most_chunks = 32;   // that have space at a time
    /// Bytes that must be free on the host's disk.
    uint64_t spare_bytes = uint64_t{4} << 30;
  };

  /// For a device of so many blocks.
  SpaceAhead(const Rules& rules, uint64_t blocks)
      : rules_(rules), blocks_(blocks), slots_(kSlots) {}

  /// Blocks are placed, the first of them in a chunk: returns it when space is
  /// to be taken for it now.
  std::optional<BlockRange> note_placed(BlockNo first, uint64_t count);

  /// There is none for it: not before as many are placed there again.
  void note_refused(const BlockRange& chunk);

  /// A pass: chunks that have space, and in which nothing was placed since the
  /// last one. They count as having none from now on.
  std::vector<BlockRange> take_quiet();
  std::vector<BlockRange> take_all();

 private:
  static constexpr size_t kSlots = 256;
  struct Slot {
    uint64_t chunk = UINT64_MAX;
    uint32_t placed = 0;
    bool has_space = false;
    bool is_quiet = false;
  };

  Slot& slot_of(uint64_t chunk);
  BlockRange range_of(uint64_t chunk) const;
  std::vector<BlockRange> take(bool all);

  const Rules rules_;
  const uint64_t blocks_;
  std::vector<Slot> slots_;          // by chunk, one of those that share it
  std::vector<uint64_t> displaced_;  // that have space, and no slot any more
  uint32_t with_space_ = 0;
};

}  // namespace ovl
