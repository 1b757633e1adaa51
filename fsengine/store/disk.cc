// SPDX-License-Identifier: BSD-3-Clause
//
// The way of a write:
//
//   throttle -> whole blocks: hash -> [log's lock: record written, index] ->
//   ack
//            -> part of a block: read, change, hash -> [lock: still the same?]
//   FLUSH, FUA: one fdatasync of the log for all who wait
//
// Blocks that only the base has had until now may go to their place in the
// store at once, and the record tells no more than their hash: nothing else
// refers to that place, so it may be overwritten before the record is durable.
// It saves the copy of folding for what fills a disk. A crash may leave bytes
// there without a record; they mean nothing.
//
// Appending holds the log's lock while the record is copied into the host's
// cache: the host's file system would take turns there too, and so no
// acknowledgement ever stands over a hole. Hashing, reading and syncing happen
// outside.
//
// A part of a block becomes a whole one before it is logged. Instead of a lock
// on the block, which every writer would have to take, the block's entry is
// compared when the log is locked: if anybody wrote it meanwhile, again.
//
// What a crash leaves: a log whose records stand in order up to some point
// behind the last sync, and a store that means nothing where the log speaks.
// So the device comes back at that point, always a prefix of what was done.
//
// Space: from half of log_bytes on the worker folds; from all of it on,
// writers wait for it. It may be unable to: then the log grows, for what was
// acknowledged must be kept, until the host's disk is full. Then the ballast is
// given up, folding tried once more, and only then does the guest get ENOSPC.
#include "fsengine/store/disk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "fsengine/base/io_flusher.h"

namespace ovl {
namespace {

// What is placed costs a second sync at the next flush, of a file that grows:
// worth it for much at once, or when much is waiting for that flush anyway.
constexpr uint64_t kManyBlocks = 16;
constexpr uint64_t kManyBytes = 1 << 20;
constexpr auto kThrottleStep = std::chrono::milliseconds(10);

}  // namespace

Status Disk::read(uint64_t offset, std::span<std::byte> out) const {
  return view()->read(offset, out);
}

std::shared_ptr<const DiskView> Disk::view() const {
  const MutexLock lock(view_mutex_);
  return view_;
}

void Disk::publish_view() {
  auto view = std::make_shared<const DiskView>(
      active_, sealed_, below_generations(), active_->last());
  const MutexLock lock(view_mutex_);
  std::erase_if(views_, [](const auto& old) { return old.expired(); });
  views_.push_back(view);
  now_ = view.get();
  view_ = std::move(view);
}

Position Disk::last() const {
  const MutexLock lock(mutex_);
  return writer_->last();
}

Status Disk::check_writable() {
  if (sync_->failed())
    return system_error(EIO, "write: an earlier sync of the log failed");
  become_io_flusher();
  throttle();
  return ensure_log_open();
}

Status Disk::write(uint64_t offset, std::span<const std::byte> bytes,
                   Durability durability) {
  OVL_TRY(check_writable());
  Position last{};
  while (!bytes.empty()) {
    const Written now = OVL_TRY(write_front(offset, bytes));
    last = now.position;
    bytes = bytes.subspan(now.bytes);
    offset += now.bytes;
  }
  return finish(last, durability);
}

// As much of the bytes as goes into one record.
Result<Disk::Written> Disk::write_front(uint64_t offset,
                                        std::span<const std::byte> bytes) {
  const uint64_t into = offset % kBlockSize;
  if (into == 0 && bytes.size() >= kBlockSize)
    return write_blocks(BlockNo{offset / kBlockSize}, bytes);
  const auto now =
      bytes.first(std::min<uint64_t>(bytes.size(), kBlockSize - into));
  const Position position =
      OVL_TRY(change_part(offset, now.size(), [now](std::span<std::byte> part) {
        std::ranges::copy(now, part.begin());
      }));
  return Written{position, now.size()};
}

Status Disk::zero(uint64_t offset, uint64_t length, Durability durability) {
  if (base_has_zeros(offset, length))
    return {};
  OVL_TRY(check_writable());
  Position last{};
  while (length > 0) {
    const uint64_t into = offset % kBlockSize;
    const bool whole = into == 0 && length >= kBlockSize;
    const uint64_t n = whole ? length / kBlockSize * kBlockSize
                             : std::min<uint64_t>(length, kBlockSize - into);
    if (whole)
      last = OVL_TRY(append({RecordKind::kZero,
                             BlockNo{offset / kBlockSize},
                             n / kBlockSize,
                             {},
                             0}));
    else
      last = OVL_TRY(change_part(offset, n, [](std::span<std::byte> part) {
        std::ranges::fill(part, std::byte{0});
      }));
    length -= n;
    offset += n;
  }
  return finish(last, durability);
}

// A guest trims what it never wrote: nothing to remember.
bool Disk::base_has_zeros(uint64_t offset, uint64_t length) const {
  const auto now = view();
  while (length > 0) {
    const uint64_t into = offset % kBlockSize;
    const DiskView::Piece piece =
        now->piece_at(BlockNo{offset / kBlockSize}, blocks_for(into + length));
    const uint64_t part = std::min(length, piece.count * kBlockSize - into);
    const uint64_t zeros = piece.where == DiskView::Where::kBase
                               ? base_.zeros_at(offset, part)
                               : 0;
    if (zeros == 0)
      return false;
    offset += zeros;
    length -= zeros;
  }
  return true;
}

Status Disk::flush() {
  return finish(last(), Durability::kDurable);
}

Status Disk::finish(Position position, Durability durability) {
  if (durability == Durability::kLazy)
    return {};
  is_synced_often_ = true;
  OVL_TRY(dispel_doubt());
  return sync_->through(position).in("flush");
}

// Once more when the disk was full and some of it could be freed.
template <typename Attempt>
Result<Position> Disk::with_room(Attempt attempt) {
  Result<Position> position = attempt();
  if (position || position.error().code() != ENOSPC)
    return position;
  make_room();
  return attempt();
}

// A record lies in one segment, behind its header and a block of heads.
uint64_t Disk::most_record_blocks() const {
  return std::min<uint64_t>(kMaxRecordBlocks, pool_->segment_blocks() - 2);
}

Result<Disk::Written> Disk::write_blocks(BlockNo first,
                                         std::span<const std::byte> bytes) {
  const uint64_t most =
      std::min(bytes.size() / kBlockSize, most_record_blocks());
  const Home home = reserve_home(first, most);
  const uint64_t fresh = home.count;
  const uint64_t count = fresh > 0 ? fresh : most;
  if (home.ahead)
    take_ahead(*home.ahead);
  const auto now = bytes.first(count * kBlockSize);
  unsynced_bytes_ += now.size();
  const Position position = OVL_TRY(
      fresh > 0
          ? place(first, now)
          : append({RecordKind::kWrite, first, count, now, hash_payload(now)}));
  return Written{position, now.size()};
}

// Where nothing can be taken, nothing needs to be given back.
void Disk::take_ahead(const Range& chunk) {
  if (store_->take_space(chunk.first, chunk.count, options_.ahead.spare_bytes))
    return;
  const MutexLock lock(mutex_);
  ahead_.note_refused(chunk);
}

bool Disk::is_worth_placing(uint64_t blocks) const {
  return blocks >= kManyBlocks || unsynced_bytes_ >= kManyBytes;
}

// How many blocks, at most, does nothing stand for but the base, so that their
// place in the store is nobody's?
uint64_t Disk::untouched_blocks(BlockNo first, uint64_t most) const {
  const DiskView::Piece piece = now_->piece_at(first, most);
  const bool is_free = piece.where == DiskView::Where::kBase &&
                       store_->is_free(first, piece.count);
  return is_free ? piece.count : 0;
}

Disk::Home Disk::reserve_home(BlockNo first, uint64_t most) {
  if (!is_worth_placing(most))
    return {};
  const MutexLock lock(mutex_);
  const uint64_t count = untouched_blocks(first, most);
  const auto overlaps = [&](const Placing& other) {
    return to_int(first) < to_int(other.range.first) + other.range.count &&
           to_int(other.range.first) < to_int(first) + count;
  };
  if (count == 0 || !is_worth_placing(count) ||
      std::ranges::any_of(placing_, overlaps))
    return {};
  placing_.push_back({{first, count}, ++placings_});
  return {count, count < kManyBlocks ? ahead_.note_placed(first, count)
                                     : std::nullopt};
}

void Disk::release_home(BlockNo first) {
  std::erase_if(placing_, [first](const Placing& placing) {
    return placing.range.first == first;
  });
  placed_.notify_all();
}

// Those that began before: folding may bring something else to their places.
void Disk::wait_for_placing() {
  const MutexLock lock(mutex_);
  const uint64_t last = placings_;
  while (std::ranges::any_of(placing_, [last](const Placing& placing) {
    return placing.number <= last;
  }))
    placed_.wait(mutex_);
}

Result<Position> Disk::place(BlockNo first, std::span<const std::byte> bytes) {
  const NewRecord record{RecordKind::kWrite, first, bytes.size() / kBlockSize,
                         bytes, hash_payload(bytes)};
  auto position = place_reserved(record);
  if (position || position.error().code() != ENOSPC)
    return position;
  make_room();  // which waits for those who place
  return append(record);
}

// Somebody may write the same blocks meanwhile: then both go to the log, and
// what stands at home is of no meaning, or of a write that was never done.
Result<Position> Disk::place_reserved(NewRecord record) {
  auto placed = store_->place(record.first, record.payload);
  const MutexLock lock(mutex_);
  release_home(record.first);
  OVL_TRY(std::move(placed));
  if (untouched_blocks(record.first, record.count) == record.count) {
    record.kind = RecordKind::kPlaced;
    record.payload = {};
  }
  return append_locked(record);
}

Result<Position> Disk::append(const NewRecord& record) {
  return with_room([&]() -> Result<Position> {
    const MutexLock lock(mutex_);
    return append_locked(record);
  });
}

Result<Position> Disk::append_locked(const NewRecord& record) {
  if (active_->is_full())
    return fail(ENOSPC, "log: full");
  if (is_synced_often_)
    OVL_TRY(writer_->fill_ahead());
  const SegmentRef before = writer_->segment();
  const LogWriter::Placed placed =
      OVL_TRY(writer_->append(record, sync_->durable()));
  const RecordHead head{record.kind, placed.position, record.first,
                        record.count};
  active_->add(head, placed.segment, placed.block);
  placed_unsynced_ |= record.kind == RecordKind::kPlaced;
  if (placed.segment != before) {
    is_synced_often_ = false;
    worker_.wake();
  }
  return placed.position;
}

// See the top. The view is asked before the block is read: what is added to its
// generation afterwards shows as a difference. Zeros equal later zeros: they
// are the same bytes.
template <typename Change>
Result<Position> Disk::change_part(uint64_t offset, uint64_t length,
                                   Change change) {
  std::array<std::byte, kBlockSize> bytes;
  const BlockNo block{offset / kBlockSize};
  const auto entry = [block](const Generation& generation) {
    const DirtyIndex::Run run = generation.index().find(block, 1);
    return std::pair(run.kind, run.place);
  };
  for (;;) {
    const auto seen = view();
    const auto before = entry(*seen->newer());
    OVL_TRY(seen->read(to_int(block) * kBlockSize, bytes));
    change(std::span(bytes).subspan(offset % kBlockSize, length));
    const NewRecord record{RecordKind::kWrite, block, 1, bytes,
                           hash_payload(bytes)};
    auto position = with_room([&]() -> Result<Position> {
      const MutexLock lock(mutex_);
      if (active_ != seen->newer() || entry(*active_) != before)
        return Position{};
      return append_locked(record);
    });
    if (!position || *position != Position{})
      return position;
  }
}

Status Disk::keep(const DiskView& at, const Range& range) {
  std::vector<std::byte> buffer;
  const uint64_t end = range.end();
  for (uint64_t block = to_int(range.first); block < end;) {
    const uint64_t count = std::min(end - block, most_record_blocks());
    buffer.resize(count * kBlockSize);
    OVL_TRY(at.read(block * kBlockSize, buffer));
    OVL_TRY(ensure_log_open());
    OVL_TRY(keep_unwritten(BlockNo{block}, buffer));
    block += count;
  }
  return {};
}

// What came after the sealed view is all in the growing generation.
Status Disk::keep_unwritten(BlockNo first, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    uint64_t done = 0;
    OVL_TRY(with_room([&]() -> Result<Position> {
      const MutexLock lock(mutex_);
      const DirtyIndex::Run run =
          active_->index().find(first, bytes.size() / kBlockSize);
      done = run.count;
      if (run.kind != DirtyIndex::Kind::kNone)
        return Position{};
      const auto now = bytes.first(done * kBlockSize);
      return append_locked(
          {RecordKind::kWrite, first, done, now, hash_payload(now)});
    }));
    bytes = bytes.subspan(done * kBlockSize);
    first = BlockNo{to_int(first) + done};
  }
  return {};
}

// Once: what a former server acknowledged becomes durable before a record is
// added behind it.
Status Disk::ensure_log_open() {
  if (log_is_open_)
    return {};
  OVL_TRY(dispel_doubt());
  OVL_TRY(sync_->through(last()));
  const MutexLock lock(mutex_);
  if (log_is_open_)
    return {};
  OVL_TRY(writer_->open());
  const uint64_t sequence = writer_->opened_sequence();
  OVL_TRY(change_mark(
      [sequence](MarkState& mark) { mark.opened_sequence = sequence; }));
  log_is_open_ = true;
  worker_.wake();
  return {};
}

void Disk::throttle() {
  const uint64_t most = options_.log_bytes;
  if (live_log_bytes() < most / 2)
    return;
  worker_.wake();
  const MutexLock lock(room_mutex_);
  while (live_log_bytes() >= most && !fold_is_stuck_ && worker_.is_running())
    room_.wait_for(room_mutex_, kThrottleStep);
}

uint64_t Disk::live_log_bytes() const {
  return pool_->live() * pool_->segment_blocks() * kBlockSize;
}

void Disk::make_room() {
  {
    const MutexLock lock(fold_mutex_);
    (void)give_back_ahead(Ahead::kAll);
  }
  auto folded = fold();
  if (!folded && ballast_->give_up())
    folded = fold();
  const MutexLock lock(mutex_);
  if (folded && log_is_open_ && !sealed_ && active_->index().empty())
    writer_->let_go();
}

MarkState Disk::mark() const {
  const MutexLock lock(mark_mutex_);
  return mark_->state();
}

Status Disk::change_mark(const std::function<void(MarkState&)>& change) {
  const MutexLock lock(mark_mutex_);
  MarkState state = mark_->state();
  change(state);
  if (state == mark_->state() && !mark_->is_unsure())
    return {};
  return mark_->set(state);
}

}  // namespace ovl
