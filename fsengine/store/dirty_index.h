// SPDX-License-Identifier: BSD-3-Clause
//
// From a block to its newest bytes in one generation of the log. Constant
// time, at most 16 bytes a block beyond a fixed part. The essay is in the .cc.
//
// One writer at a time, in the order of the log; any number of readers
// meanwhile. What a reader finds was complete in the log.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "fsengine/base/mutex.h"
#include "fsengine/base/units.h"
#include "fsengine/store/log_place.h"
#include "fsengine/store/zero_extents.h"

namespace ovl {

class DirtyIndex {
 public:
  /// For a device of `blocks` blocks. REQUIRES: blocks <= 2^32.
  explicit DirtyIndex(uint64_t blocks);

  /// Blocks from `first` on have their bytes at `place` and following.
  void insert_data(BlockNo first, uint32_t count, LogPlace place);
  /// They have them at their places in the store. REQUIRES: nothing was said
  /// of them before.
  void insert_home(BlockNo first, uint32_t count);
  /// They are zeros since `place`.
  void insert_zeros(BlockNo first, uint64_t count, LogPlace place);

  enum class Kind {
    kNone,  // this generation says nothing
    kZeros,
    kData,  // in the log
    kHome,  // at their places in the store, whatever its map says
  };
  struct Run {
    Kind kind = Kind::kNone;
    uint64_t count = 0;  // blocks from the one asked for
    LogPlace place{};    // kData: of the first; the others follow it
  };
  /// What begins at `first`, at most `max` blocks. REQUIRES: max > 0.
  Run find(BlockNo first, uint64_t max) const;

  bool empty() const { return blocks_in() == 0 && zeros_.empty(); }
  /// Blocks that have an entry of their own.
  uint64_t blocks_in() const {
    return entries_.load(std::memory_order_relaxed);
  }
  uint64_t memory_bytes() const;

  /// The parts of the index, one of which may be asked for at a time.
  static constexpr uint32_t kShards = 64;
  struct Item {
    BlockNo block{};
    Kind kind = Kind::kNone;
    LogPlace place{};  // kData
  };
  /// What shard `index` says, in order of blocks, but for blocks that are
  /// zeros by large_zeros().
  std::vector<Item> items_of(uint32_t index) const;
  std::vector<ZeroExtents::Extent> large_zeros() const { return zeros_.all(); }

 private:
  struct Entry {
    uint32_t block;
    uint32_t place;  // with one of the bits below, or kFree: not in use
  };
  struct Shard {
    mutable SharedMutex mutex;
    std::vector<Entry> table OVL_GUARDED_BY(mutex);
    uint32_t used OVL_GUARDED_BY(mutex) = 0;
  };

  static constexpr uint32_t kZeroBit = 0x80000000;
  static constexpr uint32_t kHomeBit = 0x40000000;
  static constexpr uint32_t kBits = kZeroBit | kHomeBit;
  static constexpr uint32_t kFree = UINT32_MAX;

  void insert(uint64_t first, uint64_t count, uint32_t place, uint32_t step);
  static Entry* slot_for(std::vector<Entry>& table, uint32_t block);
  static uint32_t look_up(const std::vector<Entry>& table, uint64_t block);
  static void put(Shard& shard, Entry entry) OVL_REQUIRES(shard.mutex);
  static void grow(Shard& shard) OVL_REQUIRES(shard.mutex);
  static Run state_of(uint32_t found, const std::optional<LogPlace>& zeroed);
  Run find_in_piece(uint64_t first, uint64_t max,
                    const ZeroExtents::Piece& piece) const;
  uint64_t untouched_run(uint64_t first, uint64_t max) const;
  bool is_touched(uint64_t region) const;
  void touch(uint64_t region);
  Shard& shard_of(uint64_t block);
  const Shard& shard_of(uint64_t block) const;

  std::array<Shard, kShards> shards_;
  std::vector<std::atomic<uint64_t>> touched_;  // a bit a region
  std::atomic<uint64_t> entries_ = 0;
  ZeroExtents zeros_;
};

}  // namespace ovl
