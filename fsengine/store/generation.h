// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/store/dirty_index.h"
#include "fsengine/store/log_format.h"
#include "fsengine/store/segment_pool.h"

namespace ovl {

/// A stretch of the log: what it says of each block, and the segments that
/// hold the bytes, for as long as it lives. It grows until it is sealed by
/// putting another one in its place. One writer at a time, readers meanwhile.
class Generation {
 public:
  /// Of a device of `device_blocks`; `before` is the last record that is not in
  /// it any more.
  Generation(uint64_t device_blocks, uint32_t segment_blocks, Position before)
      : index_(device_blocks), segment_blocks_(segment_blocks), last_(before) {
    segments_.reserve(kMaxSegments);
  }

  const DirtyIndex& index() const { return index_; }
  /// Position of its last record.
  Position last() const { return last_; }

  /// True when no record can be added any more.
  bool is_full() const;
  /// Adds the record `head`, whose payload is at block `at` of `segment`.
  /// REQUIRES: not full; positions rise.
  void add(const RecordHead& head, const SegmentRef& segment, uint32_t at);

  /// Reads from the middle of a block on: blocks that find() said follow each
  /// other from `place`.
  Status read(LogPlace place, uint64_t into, std::span<std::byte> out) const;

 private:
  static constexpr size_t kMaxSegments = 4096;

  LogPlace place_of(const SegmentRef& segment, uint32_t block);

  DirtyIndex index_;
  const uint32_t segment_blocks_;
  Position last_;
  // Never moves: readers know only segments that were there before.
  std::vector<SegmentRef> segments_;
};

}  // namespace ovl
