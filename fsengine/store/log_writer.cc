// SPDX-License-Identifier: BSD-3-Clause
//
// Heads are 64 bytes, and a write of each was about half of what a record cost
// beyond the bytes themselves. So they are stored into the page of the host's
// cache, by a mapping that is shared with it:
//
//   payload      pwrite
//   first head   pwrite   of its block of heads, and of each after a sync
//   other heads  store    where a head was written since
//
// Invariant: a head is stored only to a page that was written since the last
// sync. Its space is taken and its bytes are in the cache then, so nothing has
// to be read or allocated for it, and the kernel knows that it is dirty. Who
// syncs after each record never stores: a page that was synced is guarded
// against stores until one has told the kernel, by a fault.
//
// A kill: the page is the file's, not the process's; what was stored is in it,
// and is there for the next server, the kernel's writeback and fdatasync, which
// tells of errors of the page however it became dirty. The payload was written
// before, and the head is whole before it is acknowledged. A head that was
// being stored when the process died, or that a loss of power tore, has not the
// checksum that it must have: it is the torn tail, as a torn write is. It is no
// damage, for no sync began after it, so nothing says that it was durable.
//
// Failure: the kernel writes the page back by itself, and guards it again; the
// next store asks for it, and the host may be unable, being full where it
// copies on write, or read-only after an error, or unable to read back a page
// that it has thrown out. A store has no result, so that comes as a signal,
// which the seam turns into an error (base/guarded_copy.cc). Then, and where
// nothing can be mapped, heads are written up to the end of the segment: a
// write tells what is wrong. Holes are no case of their own: SegmentPool makes
// none, and what else may be behind a page is behind a page that was written.
//
// Not chosen: heads of several records in one write, for which the first would
// have to wait; a mapping for payloads too, which would fault once a page.
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
  mapping_.reset();
  segment_ = std::move(segment);
  heads_block_ = kFirstHeadsBlock;
  heads_used_ = 0;
  heads_page_ = HeadsPage::kUnknown;
  cursor_ = kFirstHeadsBlock + 1;
  filled_to_ = segment_->is_filled() ? pool_.segment_blocks() : 0;
  note_unsynced();
  return {};
}

void LogWriter::let_go() {
  mapping_.reset();
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
    forget_heads_page();
    ++cursor_;
  }
  if (cursor_ + payload_blocks <= pool_.segment_blocks())
    return {};
  return begin_segment(durable);
}

// Of this segment's pages nothing is known any more, but for whether they can
// be mapped.
void LogWriter::forget_heads_page() {
  if (heads_page_ == HeadsPage::kWritten)
    heads_page_ = HeadsPage::kUnknown;
}

Status LogWriter::write_head(const RecordHead& head) {
  const auto bytes = encode(head, incarnation_);
  const uint64_t offset = uint64_t{heads_block_} * kBlockSize +
                          uint64_t{heads_used_} * kRecordHeadBytes;
  if (heads_page_ == HeadsPage::kWritten && store_head(bytes, offset))
    return {};
  OVL_TRY(os_.pwrite(segment_->fd(), bytes, offset));
  if (heads_page_ == HeadsPage::kUnknown)
    heads_page_ = HeadsPage::kWritten;
  return {};
}

bool LogWriter::store_head(std::span<const std::byte> bytes, uint64_t offset) {
  if (!mapping_) {
    auto made =
        os_.map(segment_->fd(), uint64_t{pool_.segment_blocks()} * kBlockSize);
    if (made)
      mapping_ = std::move(*made);
  }
  if (mapping_ && os_.store(*mapping_, offset, bytes))
    return true;
  mapping_.reset();
  heads_page_ = HeadsPage::kNotMapped;
  return false;
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
  forget_heads_page();
  return std::exchange(unsynced_, {});
}

}  // namespace ovl
