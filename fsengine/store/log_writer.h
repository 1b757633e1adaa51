// SPDX-License-Identifier: BSD-3-Clause
//
// The end of the log, where records are added (FORMAT.md, "The log"). For one
// thread at a time. A record is complete before the next one begins, so an
// acknowledgement never stands over a hole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/store/log_format.h"
#include "fsengine/store/segment_pool.h"

namespace ovl {

/// A record to add. `payload` and `payload_hash` are those of a write.
struct NewRecord {
  RecordKind kind = RecordKind::kWrite;
  BlockNo first{};
  uint64_t count = 0;
  std::span<const std::byte> payload;
  uint64_t payload_hash = 0;
};

class LogWriter {
 public:
  /// Where a log goes on: behind the record at `last`, in segments numbered
  /// from `sequence` on.
  struct Start {
    Position last{};
    uint64_t sequence = 1;
    uint64_t fingerprint = 0;
  };
  /// The pool outlives it. Nothing is written before open().
  LogWriter(Os& os, SegmentPool& pool, const Start& start)
      : os_(os),
        pool_(pool),
        fingerprint_(start.fingerprint),
        next_sequence_(start.sequence),
        last_(start.last) {}

  /// Begins a segment with a new incarnation, durably. REQUIRES: all records
  /// up to last() are durable.
  Status open();
  /// Sequence number of the segment that open() began.
  uint64_t opened_sequence() const { return opened_sequence_; }

  /// Position of the last record.
  Position last() const { return last_; }

  /// Adds a record; `durable` is the highest position known to be on disk.
  /// Written when it returns, not synced. After an error the log is as before.
  struct Placed {
    Position position{};
    SegmentRef segment;
    uint32_t block = 0;  // of the segment: where the payload is, or would be
  };
  Result<Placed> append(const NewRecord& record, Position durable);

  /// Ends the segment early, so that its file can be used again. REQUIRES: all
  /// records are folded.
  void let_go();

  /// Writes zeros where the next records will be, unless that was written
  /// before: syncing them changes nothing of the host's metadata then, which
  /// would cost twice.
  Status fill_ahead();

  /// The segment that records are added to now; none after let_go().
  const SegmentRef& segment() const { return segment_; }

  /// Segments that were written to since the last call, which are synced now.
  std::vector<SegmentRef> take_unsynced();

 private:
  Status begin_segment(Position durable);
  Status ensure_room(uint64_t payload_blocks, Position durable);
  Status write_head(const RecordHead& head);
  void forget_heads_page();
  bool store_head(std::span<const std::byte> bytes, uint64_t offset);
  void note_unsynced();

  Os& os_;
  SegmentPool& pool_;
  const uint64_t fingerprint_;
  uint64_t next_sequence_;  // not used before, not even by a failed attempt
  uint64_t opened_sequence_ = 0;
  uint64_t incarnation_ = 0;
  SegmentRef segment_;
  uint32_t heads_block_ = 0;
  uint32_t heads_used_ = 0;
  enum class HeadsPage { kUnknown, kWritten, kNotMapped };
  HeadsPage heads_page_ = HeadsPage::kUnknown;
  std::optional<FileMapping> mapping_;  // of the segment
  uint32_t cursor_ = 0;                 // next free block of the segment
  uint32_t filled_to_ = 0;  // its blocks from the cursor to here were written
  Position last_;
  std::vector<SegmentRef> unsynced_;
};

}  // namespace ovl
