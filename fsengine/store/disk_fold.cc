// SPDX-License-Identifier: BSD-3-Clause
//
// Sealing, folding, and leaving blocks to upper.
//
//   seal     the growing generation becomes the sealed one, a new one takes
//            its place: one step under the log's lock
//   fold     log durable through it, which the mark tells -> bytes to the
//            store, synced -> map, synced -> mark, synced -> readers go to the
//            store -> when the last one that does not is gone, the segments
//            are free
//   provide  a fold that passes over what upper provides: the maps say so
//            before the mark says that the log does not -> space in the store
//            is given back when no reader is left that looked before
//
// At most one generation is sealed and not folded. A sealed view that somebody
// holds forbids folding what came after it: that would change the blocks of
// the store that it reads. Its own generation may be folded, which changes
// nothing that it shows.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "fsengine/base/io_flusher.h"
#include "fsengine/store/disk.h"
#include "fsengine/store/fold.h"

namespace ovl {

namespace {

void add_block(BlockNo block, std::vector<Disk::Range>& ranges) {
  if (!ranges.empty() &&
      to_int(ranges.back().first) + ranges.back().count == to_int(block))
    ++ranges.back().count;
  else
    ranges.push_back({block, 1});
}

}  // namespace

std::shared_ptr<Generation> Disk::sealed() const {
  const MutexLock lock(mutex_);
  return sealed_;
}

// REQUIRES: nothing is sealed.
Status Disk::seal_active() {
  if (!checkpoint_.expired())
    return fail(EBUSY, "an earlier state of the device is still in use");
  const MutexLock lock(mutex_);
  if (active_->index().empty())
    return {};
  sealed_ = active_;
  active_ = std::make_shared<Generation>(
      blocks_for(size()), pool_->segment_blocks(), sealed_->last());
  publish_view();
  return {};
}

Status Disk::fold() {
  const MutexLock lock(fold_mutex_);
  return fold_locked();
}

Status Disk::fold_locked() {
  if (sync_->failed())
    return system_error(EIO, "fold: an earlier sync of the log failed");
  OVL_TRY(dispel_doubt());
  OVL_TRY(fold_sealed());
  OVL_TRY(seal_active());
  OVL_TRY(fold_sealed());
  shrink_log(UINT64_MAX);
  return give_back_ahead(Ahead::kQuiet);
}

// Files are kept for later segments, up to what the log is meant to take: a new
// one costs the syncs that its first records need more. It may have grown
// beyond while it could not be folded.
void Disk::shrink_log(uint64_t most_segments) {
  SegmentRef newest;
  {
    const MutexLock lock(mutex_);
    newest = writer_->segment();
  }
  const uint64_t segment_bytes = uint64_t{pool_->segment_blocks()} * kBlockSize;
  if (newest)
    pool_->trim(std::min(most_segments, options_.log_bytes / segment_bytes) +
                1);
}

Status Disk::fold_sealed(std::span<const Range> provided) {
  const std::shared_ptr<Generation> generation = sealed();
  if (!generation)
    return {};
  const Position folded = generation->last();
  OVL_TRY(sync_->through(folded));
  OVL_TRY(change_mark([folded](MarkState& mark) { mark.durable = folded; }));
  wait_for_placing();
  OVL_TRY(fold_generation(*generation, base_, provided, *store_));
  OVL_TRY(sync_store());
  OVL_TRY(change_mark([folded](MarkState& mark) { mark.folded = folded; }));
  if (folded > told_)
    note_written(*generation);
  const MutexLock lock(mutex_);
  sealed_.reset();
  publish_view();
  return {};
}

// The kernel tells once that it lost pages, whoever wrote them: a flush of what
// was placed since would find nothing wrong.
Status Disk::sync_store() {
  auto synced = store_->sync_blocks();
  if (!synced)
    sync_->fail_for_ever();
  OVL_TRY(std::move(synced));
  auto saved = store_->save_maps();
  if (!saved)
    note_doubt();
  return saved;
}

Result<std::shared_ptr<const DiskView>> Disk::seal() {
  const MutexLock lock(fold_mutex_);
  OVL_TRY(fold_sealed());
  OVL_TRY(seal_active());
  OVL_TRY(give_back_ahead(Ahead::kQuiet));
  const std::shared_ptr<Generation> generation = sealed();
  const Position at = generation ? generation->last() : mark().folded;
  auto view = std::make_shared<const DiskView>(generation, nullptr,
                                               below_generations(), at);
  checkpoint_ = view;
  const MutexLock view_lock(view_mutex_);
  views_.push_back(view);
  return view;
}

void Disk::note_written(const Generation& generation) {
  constexpr size_t kMost = 1 << 20;
  if (!written_)
    return;
  for (const ZeroExtents::Extent& extent : generation.index().large_zeros())
    written_->push_back({extent.first, extent.count});
  for (uint32_t shard = 0; shard < DirtyIndex::kShards; ++shard)
    for (const DirtyIndex::Item& item : generation.index().items_of(shard))
      add_block(item.block, *written_);
  if (written_->size() > kMost)
    written_.reset();
}

std::optional<std::vector<Disk::Range>> Disk::take_written(const DiskView& at) {
  const MutexLock lock(fold_mutex_);
  if (at.newer()) {
    note_written(*at.newer());
    told_ = at.last();
  }
  return std::exchange(written_, std::vector<Range>());
}

// The maps are told first: a block that is in no record any more is looked for
// there, also after a crash.
Status Disk::provide(const DiskView& at, std::span<const Range> ranges) {
  const MutexLock lock(fold_mutex_);
  if (checkpoint_.lock().get() != &at)
    return fail(EINVAL, "provide: not the sealed view that lives");
  note_idle(at, ranges);
  for (const Range& range : ranges)
    store_->provide(range.first, range.count);
  const uint64_t used = pool_->live();
  if (is_any_in_log(ranges))
    OVL_TRY(fold_sealed(ranges));
  OVL_TRY(store_->save_maps());
  {
    const MutexLock log_lock(mutex_);
    publish_view();
  }
  shrink_log(used);
  return give_back_ahead(Ahead::kQuiet);
}

bool Disk::is_any_in_log(std::span<const Range> ranges) const {
  const std::shared_ptr<Generation> generation = sealed();
  return generation && std::ranges::any_of(ranges, [&](const Range& range) {
           const DirtyIndex::Run run =
               generation->index().find(range.first, range.count);
           return run.kind != DirtyIndex::Kind::kNone ||
                  run.count < range.count;
         });
}

// Not what only the base had: a guest may have placed it since, and its place
// has no other bytes. Nobody reads view `at` meanwhile but whoever calls.
void Disk::note_idle(const DiskView& at, std::span<const Range> ranges) {
  Idle idle;
  for (const Range& range : ranges)
    for (uint64_t block = to_int(range.first); block < range.end();) {
      const DiskView::Piece piece =
          at.piece_at(BlockNo{block}, range.end() - block);
      if (piece.where != DiskView::Where::kBase) {
        store_->note_idle(BlockNo{block}, piece.count);
        idle.ranges.push_back({BlockNo{block}, piece.count});
      }
      block += piece.count;
    }
  const MutexLock lock(view_mutex_);
  idle.holders = views_;
  std::erase_if(idle.holders,
                [&](const auto& view) { return view.lock().get() == &at; });
  idle_.push_back(std::move(idle));
}

Status Disk::give_back_idle() {
  for (auto next = idle_.begin(); next != idle_.end();) {
    std::erase_if(next->holders,
                  [](const auto& view) { return view.expired(); });
    if (!next->holders.empty()) {
      ++next;
      continue;
    }
    for (const Range& range : next->ranges)
      OVL_TRY(store_->give_back(range.first, range.count));
    next = idle_.erase(next);
  }
  return {};
}

// And all that is idle. Who places blocks asks under the same lock whether they
// are, so nobody does before their space is given back.
Status Disk::give_back_ahead(Ahead which) {
  std::vector<Range> chunks;
  {
    const MutexLock lock(mutex_);
    chunks = which == Ahead::kAll ? ahead_.take_all() : ahead_.take_quiet();
  }
  for (const Range& chunk : chunks) {
    Idle idle;
    const MutexLock lock(mutex_);  // requests go on between two of them
    note_unused(chunk, idle.ranges);
    idle_.push_back(std::move(idle));
  }
  return give_back_idle();
}

// What nobody has, or upper, and nobody is about to place.
void Disk::note_unused(const Range& chunk, std::vector<Range>& unused) {
  for (uint64_t at = to_int(chunk.first); at < chunk.end();) {
    const DiskView::Piece piece = now_->piece_at(BlockNo{at}, chunk.end() - at);
    const bool is_elsewhere = piece.where == DiskView::Where::kBase ||
                              piece.where == DiskView::Where::kProvided;
    const uint64_t count =
        is_elsewhere ? unused_blocks(BlockNo{at}, piece.count) : 0;
    if (count > 0) {
      store_->note_idle(BlockNo{at}, count);
      unused.push_back({BlockNo{at}, count});
    }
    at += is_elsewhere ? std::max<uint64_t>(count, 1) : piece.count;
  }
}

// From the first one on. Those that are idle already somebody may yet read.
uint64_t Disk::unused_blocks(BlockNo first, uint64_t most) const {
  uint64_t count = store_->free_blocks(first, most);
  for (const Placing& placing : placing_)
    if (placing.range.end() > to_int(first)) {
      const uint64_t begin = to_int(placing.range.first);
      count = std::min(count, begin - std::min(begin, to_int(first)));
    }
  return count;
}

void Disk::start_folding() {
  worker_.start();
}

// What the log will need, as far as there is room: who misses it will tell. A
// log of one segment may never need another.
void Disk::prepare_segment() {
  if (!log_is_open_)
    return;
  if (pool_->live() > 1)
    (void)pool_->prepare();
  if (!std::exchange(ballast_was_taken_, true))
    ballast_->take();
}

void Disk::fold_in_background() {
  become_io_flusher();
  prepare_segment();
  if (live_log_bytes() < options_.log_bytes / 2)
    return;
  const auto folded = fold();
  if (folded)
    ballast_->take();
  else if (folded.error().code() == ENOSPC && ballast_->give_up())
    worker_.wake();
  if (!folded && !fold_was_reported_ && options_.report)
    options_.report("cannot fold the log, which grows: " +
                    folded.error().what());
  fold_was_reported_ = !folded;
  const MutexLock lock(room_mutex_);
  fold_is_stuck_ = !folded;
  room_.notify_all();
}

}  // namespace ovl
