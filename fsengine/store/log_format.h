// SPDX-License-Identifier: BSD-3-Clause
//
// The bytes of a log segment as values (FORMAT.md, "The log"). Pure: nothing
// here reads or writes a file. What decodes was checked against its checksum,
// not against the device: that is for the reader of the log.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "fsengine/base/units.h"

namespace ovl {

/// A record's number, from 1 on; 0 is before all.
enum class Position : uint64_t {};

constexpr uint64_t to_int(Position position) {
  return static_cast<uint64_t>(position);
}
constexpr Position next(Position position) {
  return Position{to_int(position) + 1};
}

inline constexpr size_t kRecordHeadBytes = 64;
inline constexpr uint32_t kHeadsInBlock = kBlockSize / kRecordHeadBytes;
inline constexpr size_t kSegmentHeaderBytes = 64;
/// Most blocks that one write record has.
inline constexpr uint32_t kMaxRecordBlocks = 256;

struct SegmentHeader {
  uint32_t blocks = 0;  // of the segment, its header's included
  uint64_t sequence = 0;
  uint64_t incarnation = 0;
  Position first{};
  uint64_t fingerprint = 0;  // of the base image
  Position durable{};

  bool operator==(const SegmentHeader&) const = default;
};

enum class RecordKind : uint32_t {
  kWrite = 1,   // the payload follows
  kZero = 2,    // the blocks are zeros
  kPlaced = 3,  // the bytes are at their place in the store
};

struct RecordHead {
  RecordKind kind = RecordKind::kWrite;
  Position position{};
  BlockNo first{};
  uint64_t count = 0;
  Position durable{};
  uint64_t payload_hash = 0;
  uint32_t payload_block = 0;

  /// Blocks of the segment that the payload takes.
  uint64_t payload_blocks() const {
    return kind == RecordKind::kWrite ? count : 0;
  }
  bool operator==(const RecordHead&) const = default;
};

std::array<std::byte, kSegmentHeaderBytes> encode(const SegmentHeader& header);
std::array<std::byte, kRecordHeadBytes> encode(const RecordHead& head,
                                               uint64_t incarnation);

/// What the bytes of a segment's header are.
enum class HeaderState { kNone, kValid, kUnknownVersion };
HeaderState decode_segment_header(
    std::span<const std::byte, kSegmentHeaderBytes> bytes,
    SegmentHeader& header);

/// Nothing unless it is a head of this incarnation, whole.
std::optional<RecordHead> decode_record_head(
    std::span<const std::byte, kRecordHeadBytes> bytes, uint64_t incarnation);

uint64_t hash_payload(std::span<const std::byte> payload);

}  // namespace ovl
