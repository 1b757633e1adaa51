// SPDX-License-Identifier: BSD-3-Clause
//
// Reads a log that a server left (FORMAT.md, "Which records count"). It is
// trusted less than anything: a torn tail is normal and ends the log, damage
// before it is an error. Changes nothing. For one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/store/log_format.h"

namespace ovl {

/// What the rest of the state says of the log.
struct LogExpectation {
  uint64_t fingerprint = 0;
  uint64_t device_blocks = 0;
  Position folded{};
  Position durable{};
  uint64_t opened_sequence = 0;  // 0: never opened
};

struct FoundSegment {
  uint32_t number = 0;  // its file's name
  SegmentHeader header;
};

/// A record that counts; `segment` is an index into FoundLog::live.
struct FoundRecord {
  RecordHead head;
  uint32_t segment = 0;
};

struct FoundLog {
  /// Those that hold records behind `folded`, in their order.
  std::vector<FoundSegment> live;
  /// All records behind `folded`, in order.
  std::vector<FoundRecord> records;
  Position last{};              // of the last record that counts
  uint64_t last_sequence = 0;   // of any segment, void ones included; 0: none
  uint32_t segment_blocks = 0;  // of the segments; 0: there are none
};

/// Has the store the bytes of this kPlaced record?
using PlacedCheck = std::function<Result<bool>(const RecordHead& head)>;

/// Reads the log in `directory` (workdir/ovl/log). EUCLEAN when it is damaged,
/// EPROTO when a segment's version or size is not known here; both name the
/// file.
Result<FoundLog> read_log(int directory, const LogExpectation& expected,
                          const PlacedCheck& has_placed);

}  // namespace ovl
