// SPDX-License-Identifier: BSD-3-Clause
//
// What a client did to a device, in one total order: the recorder writes it
// (write_recorder.cc), and what tests on power cuts stand on reads it. The
// device as it was, with a prefix of the trace applied, is a state that a power
// cut could have left.
//
// The file: eight bytes of magic, then records: a header, and of a write its
// bytes. Numbers are as they stand in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"

namespace ovl {

enum class TraceKind : uint32_t { kWrite = 1, kZero, kTrim, kFlush };

/// One request that was completed. Trimmed bytes read back as zeros.
struct TraceRecord {
  TraceKind kind = TraceKind::kFlush;
  bool is_durable = false;  // FUA
  uint64_t offset = 0;
  uint64_t length = 0;
  std::span<const std::byte> bytes{};  // of a write

  bool is_flush() const { return kind == TraceKind::kFlush; }
};

/// Does to a file what `record` did to the device.
Status apply_to_file(const TraceRecord& record, int file);

/// For one thread at a time.
class TraceWriter {
 public:
  /// EEXIST when there is a file.
  static Result<TraceWriter> create(const std::string& path);

  Status append(const TraceRecord& record);

 private:
  explicit TraceWriter(Fd fd) : fd_(std::move(fd)) {}

  Fd fd_;
};

/// Whole traces, one after the other, mapped; records point into them.
class Trace {
 public:
  /// EUCLEAN when one is no trace, or its last record is not whole.
  static Result<Trace> open(const std::vector<std::string>& paths);

  const std::vector<TraceRecord>& records() const { return records_; }

  /// A client that only flushes does so behind `position` records.
  void add_flush(size_t position);

 private:
  struct Unmap {
    size_t length = 0;
    void operator()(std::byte* bytes) const;
  };
  using Mapping = std::unique_ptr<std::byte, Unmap>;

  Status add(const std::string& path);
  Status parse(std::span<const std::byte> bytes);

  std::vector<Mapping> mappings_;
  std::vector<TraceRecord> records_;
};

}  // namespace ovl
