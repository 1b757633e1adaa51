// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"
#include "fsengine/store/log_format.h"

namespace ovl {

/// Walks the records of one segment from its first. For one thread.
class SegmentReader {
 public:
  /// Opens file `number` of the log in `directory`, and reads its header.
  static Result<SegmentReader> open(int directory, uint32_t number);

  HeaderState header_state() const { return header_state_; }
  const SegmentHeader& header() const { return header_; }
  /// Bytes of the file.
  uint64_t file_size() const { return file_size_; }
  std::string path() const { return "log/" + std::to_string(number_); }
  uint32_t number() const { return number_; }

  /// Goes back to the first record.
  void rewind();
  /// The next record, checked with the payload that follows it, or nothing
  /// where the valid ones end. Errors are those of reading.
  Result<std::optional<RecordHead>> next_record();

  /// The highest position that a valid record behind `position`, anywhere in
  /// this file, says to be durable.
  Result<Position> durable_behind(Position position, uint64_t incarnation);

 private:
  SegmentReader(uint32_t number, Fd fd) : number_(number), fd_(std::move(fd)) {}

  uint64_t blocks() const { return file_size_ / kBlockSize; }
  Result<bool> has_next_heads();
  Result<bool> has_payload(const RecordHead& head);

  uint32_t number_;
  Fd fd_;
  uint64_t file_size_ = 0;
  HeaderState header_state_ = HeaderState::kNone;
  SegmentHeader header_;
  std::array<std::byte, kBlockSize> heads_{};
  uint32_t heads_used_ = kHeadsInBlock;
  uint64_t cursor_ = 1;
  Position expected_{};
  std::vector<std::byte> payload_;
};

}  // namespace ovl
