// SPDX-License-Identifier: BSD-3-Clause
//
// A durable disk over a base that never changes: what is written goes to the
// log, is found again by the index of its generation, and is folded into the
// block store in the background. The way of a write, and what a crash leaves,
// are told in disk.cc.
//
// Requests are safe from any number of threads at once. Readers wait for no
// write, sync or fold. It outlives the views that it hands out.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/mutex.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/store/ballast.h"
#include "fsengine/store/block_store.h"
#include "fsengine/store/disk_view.h"
#include "fsengine/store/generation.h"
#include "fsengine/store/log_sync.h"
#include "fsengine/store/log_writer.h"
#include "fsengine/store/mark.h"
#include "fsengine/store/segment_pool.h"
#include "fsengine/store/space_ahead.h"
#include "fsengine/store/worker.h"

namespace ovl {

enum class Durability {
  kLazy,     // outlives this process
  kDurable,  // is on disk when the request returns
};

struct DiskOptions {
  uint32_t segment_blocks = 4096;  // of new segments, at least 4; 16 MiB
  uint64_t log_bytes = uint64_t{256} << 20;  // live log that is aimed at
  SpaceAhead::Rules ahead;
  const BlockSource* provider = nullptr;  // of what provide() was told of
  std::function<void(const std::string& line)> report;
};

class Disk {
 public:
  /// Makes an empty one in `directory` (workdir/ovl), durably. Directory and
  /// base outlive it; the base's size is the device's.
  static Result<std::unique_ptr<Disk>> create(Os& os, int directory,
                                              const BlockSource& base,
                                              uint64_t fingerprint,
                                              DiskOptions options);
  /// Opens the one that is there, and changes nothing. ENOENT when there is
  /// none; ESTALE when it is of another base; EPROTO when it is of a version
  /// unknown here; EUCLEAN when it is damaged.
  static Result<std::unique_ptr<Disk>> open(Os& os, int directory,
                                            const BlockSource& base,
                                            uint64_t fingerprint,
                                            DiskOptions options);
  /// Removes the files of a disk, the mark first.
  static Status remove(Os& os, int directory);
  ~Disk();

  uint64_t size() const { return base_.size(); }

  /// REQUIRES, for all requests: the range lies in the device.
  Status read(uint64_t offset, std::span<std::byte> out) const;
  /// EIO for ever after a sync of the log failed; ENOSPC leaves what was there.
  Status write(uint64_t offset, std::span<const std::byte> bytes,
               Durability durability);
  Status zero(uint64_t offset, uint64_t length, Durability durability);
  /// All that was acknowledged before is on disk. Costs nothing when it is.
  Status flush();

  /// What there is now, for readers of whole ranges.
  std::shared_ptr<const DiskView> view() const;

  /// Position of the last record that was acknowledged.
  Position last() const;

  /// The device at this moment, for ever: later writes are not in it. One at a
  /// time: EBUSY while an earlier one lives. While it lives, what came after it
  /// is not folded.
  Result<std::shared_ptr<const DiskView>> seal();

  using Range = BlockRange;
  /// Blocks that were written since the last call, up to view `at`; some may
  /// not have been. Nothing: all that is not the base's; so for the first call.
  /// REQUIRES: `at` is the sealed view that lives, and was not asked about yet.
  std::optional<std::vector<Range>> take_written(const DiskView& at);

  /// Brings what the log has into the store, and makes its space free. EBUSY
  /// when a sealed view forbids it. After an error nothing is lost, and the
  /// next call tries again.
  Status fold();

  /// The provider has the bytes that view `at` has in these blocks: they leave
  /// log and store, durably, unless they were written since. After an error
  /// some may have left. REQUIRES: `at` is the sealed view that lives, and is
  /// not being read; ranges
  /// are in order and do not overlap; no block of them is zeros by the log.
  Status provide(const DiskView& at, std::span<const Range> ranges);

  /// Folds in the background from now on. REQUIRES: called once, by a process
  /// that does not fork any more.
  void start_folding();

  /// Writes the bytes that view `at` has in a range, which something else than
  /// log and store provides there, but for blocks that were written since.
  /// REQUIRES: `at` is the sealed view that lives.
  Status keep(const DiskView& at, const Range& range);

  /// The mark, and changing it durably.
  MarkState mark() const;
  Status change_mark(const std::function<void(MarkState&)>& change);

  /// Folds all, gives the log's space back. No request may follow.
  Status close();

  /// Bytes of the log that hold records which are not folded.
  uint64_t live_log_bytes() const;
  const BlockStore& store() const { return *store_; }

 private:
  Disk(Os& os, const BlockSource& base, DiskOptions options);

  Status open_directories(int directory, bool make);
  Status make_files(int directory, uint64_t fingerprint);
  Status open_files(int directory, uint64_t fingerprint);
  Status replay(const MarkState& mark);
  Status find_idle();
  Result<bool> has_placed(const RecordHead& head) const;
  void start_log(const LogWriter::Start& start, Position durable);
  LogSync::Work take_unsynced();
  void note_doubt();
  Status dispel_doubt() OVL_EXCLUDES(mutex_);
  Status write_again();
  std::vector<Range> home_blocks();

  Status ensure_log_open();
  template <typename Attempt>
  Result<Position> with_room(Attempt attempt);
  Result<Position> append(const NewRecord& record);
  Result<Position> append_locked(const NewRecord& record) OVL_REQUIRES(mutex_);
  struct Written {
    Position position{};
    uint64_t bytes = 0;
  };
  Result<Written> write_front(uint64_t offset,
                              std::span<const std::byte> bytes);
  Result<Written> write_blocks(BlockNo first, std::span<const std::byte> bytes);
  bool is_worth_placing(uint64_t blocks) const;
  uint64_t untouched_blocks(BlockNo first, uint64_t most) const
      OVL_REQUIRES(mutex_);
  // Of blocks: so many go to their places, none when the log is the better one.
  struct Home {
    uint64_t count = 0;
    std::optional<Range> ahead;  // to take space for, before
  };
  Home reserve_home(BlockNo first, uint64_t most);
  void release_home(BlockNo first) OVL_REQUIRES(mutex_);
  void wait_for_placing() OVL_EXCLUDES(mutex_);
  Status sync_store();
  Result<Position> place(BlockNo first, std::span<const std::byte> bytes);
  Result<Position> place_reserved(NewRecord record);
  Status keep_unwritten(BlockNo first, std::span<const std::byte> bytes);
  template <typename Change>
  Result<Position> change_part(uint64_t offset, uint64_t length, Change change);
  bool base_has_zeros(uint64_t offset, uint64_t length) const;
  uint64_t most_record_blocks() const;
  Status finish(Position position, Durability durability);
  Status check_writable();
  void throttle();
  void make_room();

  void publish_view() OVL_REQUIRES(mutex_);
  Status seal_active() OVL_REQUIRES(fold_mutex_);
  std::shared_ptr<Generation> sealed() const;
  Status fold_locked() OVL_REQUIRES(fold_mutex_);
  Status fold_sealed(std::span<const Range> provided = {})
      OVL_REQUIRES(fold_mutex_);
  void note_written(const Generation& generation) OVL_REQUIRES(fold_mutex_);
  bool is_any_in_log(std::span<const Range> ranges) const;
  void note_idle(const DiskView& at, std::span<const Range> ranges)
      OVL_REQUIRES(fold_mutex_);
  Status give_back_idle() OVL_REQUIRES(fold_mutex_);
  void take_ahead(const Range& chunk) OVL_EXCLUDES(mutex_);
  enum class Ahead { kQuiet, kAll };
  Status give_back_ahead(Ahead which) OVL_REQUIRES(fold_mutex_);
  void note_unused(const Range& chunk, std::vector<Range>& unused)
      OVL_REQUIRES(mutex_);
  uint64_t unused_blocks(BlockNo first, uint64_t most) const
      OVL_REQUIRES(mutex_);
  DiskView::Below below_generations() const {
    return {*store_, base_, options_.provider};
  }
  void shrink_log(uint64_t most_segments);
  void prepare_segment();
  void fold_in_background();

  Os& os_;
  const BlockSource& base_;
  const DiskOptions options_;
  Fd log_directory_;

  // Before what holds segments: they go back to it.
  std::unique_ptr<SegmentPool> pool_;
  std::unique_ptr<BlockStore> store_;
  std::unique_ptr<Ballast> ballast_;

  // Locks, in this order: fold, doubt, mutex, mark, view.
  Mutex fold_mutex_;     // one fold, seal or provide at a time; held during I/O
  Mutex doubt_mutex_;    // held once
  mutable Mutex mutex_;  // the end of the log
  mutable Mutex mark_mutex_;
  mutable Mutex view_mutex_;

  std::unique_ptr<Mark> mark_ OVL_GUARDED_BY(mark_mutex_);

  std::unique_ptr<LogWriter> writer_ OVL_GUARDED_BY(mutex_);
  std::shared_ptr<Generation> active_ OVL_GUARDED_BY(mutex_);
  std::shared_ptr<Generation> sealed_ OVL_GUARDED_BY(mutex_);
  std::vector<SegmentRef> recovered_ OVL_GUARDED_BY(mutex_);  // not synced
  std::atomic<bool> log_is_open_ = false;
  std::atomic<bool> is_in_doubt_ = false;      // what an earlier server left
  std::atomic<bool> is_synced_often_ = false;  // once since a segment began
  bool placed_unsynced_ OVL_GUARDED_BY(mutex_) = false;
  struct Placing {
    Range range;
    uint64_t number = 0;
  };
  std::vector<Placing> placing_ OVL_GUARDED_BY(mutex_);  // by writers at work
  uint64_t placings_ OVL_GUARDED_BY(mutex_) = 0;
  CondVar placed_;
  SpaceAhead ahead_ OVL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> unsynced_bytes_ = 0;
  std::unique_ptr<LogSync> sync_;

  std::shared_ptr<const DiskView> view_ OVL_GUARDED_BY(view_mutex_);
  const DiskView* now_ OVL_GUARDED_BY(mutex_) = nullptr;  // the same one
  // Every view that was handed out and may still be held.
  std::vector<std::weak_ptr<const DiskView>> views_ OVL_GUARDED_BY(view_mutex_);

  std::weak_ptr<const DiskView> checkpoint_ OVL_GUARDED_BY(fold_mutex_);
  // Since take_written(), in folded generations; nothing: it was not asked yet,
  // or there are too many.
  std::optional<std::vector<Range>> written_ OVL_GUARDED_BY(fold_mutex_);
  Position told_ OVL_GUARDED_BY(fold_mutex_){};  // of what was told of last
  // Provided by upper, while views live that may look for it in the store.
  struct Idle {
    std::vector<std::weak_ptr<const DiskView>> holders;
    std::vector<Range> ranges;
  };
  std::vector<Idle> idle_ OVL_GUARDED_BY(fold_mutex_);

  Mutex room_mutex_;
  CondVar room_;
  bool fold_is_stuck_ OVL_GUARDED_BY(room_mutex_) = false;
  // Of the worker:
  bool fold_was_reported_ = false;
  bool ballast_was_taken_ = false;
  Worker worker_;
};

}  // namespace ovl
