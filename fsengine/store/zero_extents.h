// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "fsengine/base/mutex.h"
#include "fsengine/base/units.h"
#include "fsengine/store/log_place.h"

namespace ovl {

/// The large ranges that were zeroed or trimmed in one generation, each with
/// the place in the log where it happened: what is newer shows through. A
/// range costs the same however long it is. Safe for concurrent use.
class ZeroExtents {
 public:
  struct Extent {
    BlockNo first{};
    uint64_t count = 0;
    LogPlace time{};
  };

  bool empty() const { return !any_.load(std::memory_order_acquire); }

  /// Later than all before it.
  void insert(BlockNo first, uint64_t count, LogPlace time);

  /// What begins at `first`: the time of the zeroing, or nothing, and for how
  /// many blocks, at most `max`. REQUIRES: max > 0.
  struct Piece {
    std::optional<LogPlace> time;
    uint64_t count = 0;
  };
  Piece piece_at(BlockNo first, uint64_t max) const;

  /// All of them, in order of blocks.
  std::vector<Extent> all() const;

 private:
  struct Tail {
    uint64_t end;
    LogPlace time;
  };
  using Map = std::map<uint64_t, Tail>;
  void split_at(uint64_t block) OVL_REQUIRES(mutex_);

  mutable SharedMutex mutex_;
  Map extents_ OVL_GUARDED_BY(mutex_);
  std::atomic<bool> any_ = false;
};

}  // namespace ovl
