// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/log_writer.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ovl {
namespace {

constexpr uint32_t kFirstHeadsBlock = 1;
// One sync of many then changes metadata, and none writes many zeros.
constexpr uint32_t kLeastAhead = 16;
constexpr uint32_t kMostAhead = 256;

Result<uint64_t> random_number() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number))
    return last_error("getrandom");
  return number;
}

}  // namespace

Status LogWriter::open() {
  incarnation_ = OVL_TRY(random_number());
  opened_sequence_ = next_sequence_;
  OVL_TRY(begin_segment(last_));
  auto synced = os_.fdatasync(segment_->fd()).in("log");
  if (!synced)
    segment_.reset();
  return synced;
}

Status LogWriter::begin_segment(Position durable) {
  SegmentRef segment = OVL_TRY(pool_.acquire());
  const SegmentHeader header{pool_.segment_blocks(), next_sequence_++,
                             incarnation_,           next(last_),
                             fingerprint_,           durable};
  OVL_TRY(os_.pwrite(segment->fd(), encode(header), 0).in("log"));
  segment_ = std::move(segment);
  heads_block_ = kFirstHeadsBlock;
  heads_used_ = 0;
  cursor_ = kFirstHeadsBlock + 1;
  filled_to_ = segment_->is_filled() ? pool_.segment_blocks() : 0;
  note_unsynced();
  return {};
}

void LogWriter::let_go() {
  segment_.reset();
  unsynced_.clear();
}

Status LogWriter::fill_ahead() {
  if (!segment_)
    return {};
  const uint32_t blocks = pool_.segment_blocks();
  if (filled_to_ >= std::min(cursor_ + kLeastAhead, blocks))
    return {};
  const uint32_t end = std::min(cursor_ + kMostAhead, blocks);
  OVL_TRY(
      pool_.fill(segment_->fd(), std::max(cursor_, filled_to_), end).in("log"));
  filled_to_ = end;
  return {};
}

Status LogWriter::ensure_room(uint64_t payload_blocks, Position durable) {
  if (!segment_)
    return begin_segment(durable);
  if (heads_used_ == kHeadsInBlock) {
    heads_block_ = cursor_;
    heads_used_ = 0;
    ++cursor_;
  }
  if (cursor_ + payload_blocks <= pool_.segment_blocks())
    return {};
  return begin_segment(durable);
}

Status LogWriter::write_head(const RecordHead& head) {
  return os_.pwrite(segment_->fd(), encode(head, incarnation_),
                    uint64_t{heads_block_} * kBlockSize +
                        uint64_t{heads_used_} * kRecordHeadBytes);
}

// The payload first: a head without its payload would be a torn tail.
Result<LogWriter::Placed> LogWriter::append(const NewRecord& record,
                                            Position durable) {
  RecordHead head{record.kind,
                  next(last_),
                  record.first,
                  record.count,
                  durable,
                  record.payload_hash,
                  0};
  OVL_TRY(ensure_room(head.payload_blocks(), durable));
  note_unsynced();
  head.payload_block = cursor_;
  if (head.payload_blocks() > 0) {
    OVL_TRY(os_.pwrite(segment_->fd(), record.payload,
                       uint64_t{cursor_} * kBlockSize)
                .in("log"));
  }
  OVL_TRY(write_head(head).in("log"));
  const Placed placed{head.position, segment_, cursor_};
  ++heads_used_;
  cursor_ += static_cast<uint32_t>(head.payload_blocks());
  last_ = head.position;
  return placed;
}

void LogWriter::note_unsynced() {
  if (unsynced_.empty() || unsynced_.back() != segment_)
    unsynced_.push_back(segment_);
}

std::vector<SegmentRef> LogWriter::take_unsynced() {
  return std::exchange(unsynced_, {});
}

}  // namespace ovl
