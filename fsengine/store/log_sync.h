// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "fsengine/base/mutex.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/store/block_store.h"
#include "fsengine/store/log_format.h"
#include "fsengine/store/segment_pool.h"

namespace ovl {

/// Makes records durable, one sync for all who wait. A sync serves whoever
/// waits for a record that was complete when it began. Once one failed, all
/// fail: the kernel has dropped what it could not write, and says so only
/// once. Safe for concurrent use.
class LogSync {
 public:
  /// What to sync, and the last record that is complete then.
  struct Work {
    std::vector<SegmentRef> segments;
    bool placed = false;  // blocks in the store, too
    Position last{};
  };
  /// All up to `durable` is on disk. `take_work` is called by one at a time,
  /// `on_failure` when a sync failed. The store outlives it.
  LogSync(Os& os, const BlockStore& store, Position durable,
          std::function<Work()> take_work, std::function<void()> on_failure)
      : os_(os),
        store_(store),
        take_work_(std::move(take_work)),
        on_failure_(std::move(on_failure)),
        durable_(durable) {}

  /// Returns when the record at `wanted` is on disk.
  Status through(Position wanted);

  /// What was written may be lost: from now on all fail.
  void fail_for_ever();

  Position durable() const { return durable_.load(std::memory_order_acquire); }
  bool failed() const { return failed_.load(std::memory_order_acquire); }

 private:
  Status lead() OVL_REQUIRES(mutex_);
  Status sync(const Work& work);

  Os& os_;
  const BlockStore& store_;
  const std::function<Work()> take_work_;
  const std::function<void()> on_failure_;
  Mutex mutex_;
  CondVar done_;
  bool syncing_ OVL_GUARDED_BY(mutex_) = false;
  std::atomic<Position> durable_;
  std::atomic<bool> failed_ = false;
};

}  // namespace ovl
