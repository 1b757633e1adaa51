// SPDX-License-Identifier: BSD-3-Clause
//
// How a disk comes to be, comes back, and ends. Opening replays the log into
// the index of one generation and changes nothing; the first write after that
// begins a new incarnation of the log.
#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "fsengine/base/dir_names.h"
#include "fsengine/store/copy_onto_itself.h"
#include "fsengine/store/disk.h"
#include "fsengine/store/log_reader.h"

namespace ovl {
namespace {

const char* const kLogName = "log";

Result<Fd> open_log_directory(int directory) {
  Fd fd(::openat(directory, kLogName,
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error("log: open");
  return fd;
}

Status make_log_directory(Os& os, int directory) {
  auto made = os.make_dir({directory, kLogName}, 0700);
  if (!made && made.error().code() != EEXIST)
    return std::move(made).in(kLogName);
  return {};
}

Status remove_log(Os& os, int directory) {
  auto log = open_log_directory(directory);
  if (!log && log.error().code() == ENOENT)
    return {};
  if (!log)
    return tl::unexpected(log.error());
  for (const std::string& name : OVL_TRY(list_names(log->get()).in(kLogName)))
    OVL_TRY(os.unlink({log->get(), name}).in(kLogName));
  return os.remove_dir({directory, kLogName}).in(kLogName);
}

}  // namespace

Disk::Disk(Os& os, const BlockSource& base, DiskOptions options)
    : os_(os),
      base_(base),
      options_(std::move(options)),
      ahead_(options_.ahead, blocks_for(base.size())),
      worker_([this] { fold_in_background(); }) {}

Disk::~Disk() {
  worker_.stop();
}

Result<std::unique_ptr<Disk>> Disk::create(Os& os, int directory,
                                           const BlockSource& base,
                                           uint64_t fingerprint,
                                           DiskOptions options) {
  std::unique_ptr<Disk> disk(new Disk(os, base, std::move(options)));
  OVL_TRY(disk->make_files(directory, fingerprint));
  return disk;
}

// The mark last: without it the rest means nothing.
Status Disk::make_files(int directory, uint64_t fingerprint) {
  OVL_TRY(remove_log(os_, directory));
  OVL_TRY(make_log_directory(os_, directory));
  log_directory_ = OVL_TRY(open_log_directory(directory));
  store_ = OVL_TRY(BlockStore::create(os_, directory, blocks_for(size())));
  pool_ = std::make_unique<SegmentPool>(os_, log_directory_.get(),
                                        options_.segment_blocks);
  ballast_ = std::make_unique<Ballast>(os_, directory);
  start_log({Position{}, 1, fingerprint}, Position{});
  MarkState state;
  state.base = {size(), fingerprint};
  const MutexLock lock(mark_mutex_);
  mark_ = OVL_TRY(Mark::create(os_, directory, state));
  return {};
}

Result<std::unique_ptr<Disk>> Disk::open(Os& os, int directory,
                                         const BlockSource& base,
                                         uint64_t fingerprint,
                                         DiskOptions options) {
  std::unique_ptr<Disk> disk(new Disk(os, base, std::move(options)));
  OVL_TRY(disk->open_files(directory, fingerprint));
  return disk;
}

Status Disk::open_files(int directory, uint64_t fingerprint) {
  {
    const MutexLock lock(mark_mutex_);
    mark_ = OVL_TRY(Mark::open(os_, directory));
  }
  const MarkState state = mark();
  if (state.base != BaseIdentity{size(), fingerprint})
    return fail(ESTALE,
                "it was written over other layers or with other parameters");
  log_directory_ = OVL_TRY(open_log_directory(directory));
  store_ = OVL_TRY(
      BlockStore::open(os_, directory, blocks_for(size()), state.is_doubtful));
  ballast_ = std::make_unique<Ballast>(os_, directory);
  OVL_TRY(replay(state));
  const bool was_closed = state.opened_sequence == 0;
  if (was_closed && !state.is_doubtful)
    return {};
  is_in_doubt_ = true;
  return find_idle();
}

// For the next start: what it reads may be in the host's memory only, clean,
// so that no sync would write it. This may be, too, or it is lost with the
// rest.
void Disk::note_doubt() {
  (void)change_mark([](MarkState& mark) { mark.is_doubtful = true; });
}

// Once, before anything relies on what an earlier server left behind: it may
// have been killed before its last syncs, and one of them may have failed.
Status Disk::dispel_doubt() {
  if (!is_in_doubt_)
    return {};
  const MutexLock lock(doubt_mutex_);
  if (!is_in_doubt_)
    return {};
  if (mark().is_doubtful) {
    OVL_TRY(write_again());
    OVL_TRY(sync_->through(last()));
    OVL_TRY(store_->save_maps());
  }
  const MutexLock mark_lock(mark_mutex_);
  MarkState state = mark_->state();
  state.is_doubtful = false;
  OVL_TRY(mark_->set(state));
  is_in_doubt_ = false;
  return {};
}

// What was read, as it was read.
Status Disk::write_again() {
  std::vector<SegmentRef> segments;
  {
    const MutexLock lock(mutex_);
    segments = recovered_;
  }
  for (const SegmentRef& segment : segments)
    OVL_TRY(copy_onto_itself(os_, segment->fd(), 0,
                             uint64_t{pool_->segment_blocks()} * kBlockSize)
                .in("log"));
  for (const Range& range : home_blocks())
    OVL_TRY(store_->write_again(range.first, range.count));
  return {};
}

std::vector<Disk::Range> Disk::home_blocks() {
  std::vector<Range> blocks;
  const MutexLock lock(mutex_);
  for (uint32_t shard = 0; shard < DirtyIndex::kShards; ++shard)
    for (const DirtyIndex::Item& item : active_->index().items_of(shard))
      if (item.kind == DirtyIndex::Kind::kHome)
        blocks.push_back({item.block, 1});
  return blocks;
}

Result<bool> Disk::has_placed(const RecordHead& head) const {
  std::vector<std::byte> bytes(head.count * kBlockSize);
  OVL_TRY(store_->read(to_int(head.first) * kBlockSize, bytes));
  return hash_payload(bytes) == head.payload_hash;
}

Status Disk::replay(const MarkState& mark) {
  const FoundLog log = OVL_TRY(
      read_log(log_directory_.get(),
               {mark.base.fingerprint, blocks_for(size()), mark.folded,
                mark.durable, mark.opened_sequence},
               [this](const RecordHead& head) { return has_placed(head); }));
  const uint32_t blocks =
      log.segment_blocks != 0 ? log.segment_blocks : options_.segment_blocks;
  pool_ = std::make_unique<SegmentPool>(os_, log_directory_.get(), blocks);
  std::vector<uint32_t> numbers;
  for (const FoundSegment& segment : log.live)
    numbers.push_back(segment.number);
  auto segments = OVL_TRY(pool_->adopt(numbers));
  start_log({log.last, log.last_sequence + 1, mark.base.fingerprint},
            mark.folded);
  const MutexLock lock(mutex_);
  for (const auto& [head, segment] : log.records)
    active_->add(head, segments[segment], head.payload_block);
  recovered_ = std::move(segments);
  placed_unsynced_ = !recovered_.empty();
  return {};
}

// What a crash left at places of blocks that are elsewhere. Nothing is given
// back before the next fold.
Status Disk::find_idle() {
  const auto unused = OVL_TRY(store_->find_unused());
  const MutexLock fold_lock(fold_mutex_);
  const MutexLock lock(mutex_);
  std::vector<Range> ranges;
  for (const Range& range : unused)
    for (uint64_t at = to_int(range.first); at < range.end();) {
      const DirtyIndex::Run run =
          active_->index().find(BlockNo{at}, range.end() - at);
      if (run.kind != DirtyIndex::Kind::kHome) {
        store_->note_idle(BlockNo{at}, run.count);
        ranges.push_back({BlockNo{at}, run.count});
      }
      at += run.count;
    }
  idle_.push_back({{}, std::move(ranges)});
  return {};
}

void Disk::start_log(const LogWriter::Start& start, Position durable) {
  const MutexLock lock(mutex_);
  writer_ = std::make_unique<LogWriter>(os_, *pool_, start);
  sync_ = std::make_unique<LogSync>(
      os_, *store_, durable, [this] { return take_unsynced(); },
      [this] { note_doubt(); });
  active_ = std::make_shared<Generation>(blocks_for(size()),
                                         pool_->segment_blocks(), durable);
  publish_view();
}

LogSync::Work Disk::take_unsynced() {
  const MutexLock lock(mutex_);
  std::vector<SegmentRef> segments = std::exchange(recovered_, {});
  for (SegmentRef& segment : writer_->take_unsynced())
    segments.push_back(std::move(segment));
  unsynced_bytes_ = 0;
  return {std::move(segments), std::exchange(placed_unsynced_, false),
          writer_->last()};
}

// The mark forgets the log before it goes.
Status Disk::close() {
  worker_.stop();
  OVL_TRY(fold());
  {
    const MutexLock lock(fold_mutex_);
    OVL_TRY(give_back_ahead(Ahead::kAll));
  }
  OVL_TRY(change_mark([](MarkState& mark) { mark.opened_sequence = 0; }));
  {
    const MutexLock lock(mutex_);
    writer_.reset();
    active_.reset();
  }
  {
    const MutexLock lock(view_mutex_);
    view_.reset();
  }
  ballast_->give_up();
  return pool_->remove_files();
}

Status Disk::remove(Os& os, int directory) {
  OVL_TRY(Mark::remove(os, directory));
  OVL_TRY(Ballast::remove(os, directory));
  OVL_TRY(remove_log(os, directory));
  return BlockStore::remove(os, directory);
}

}  // namespace ovl
