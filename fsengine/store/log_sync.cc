// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/log_sync.h"

#include <cerrno>

namespace ovl {

Status LogSync::through(Position wanted) {
  const MutexLock lock(mutex_);
  while (durable() < wanted && !failed()) {
    if (syncing_)
      done_.wait(mutex_);
    else
      OVL_TRY(lead());
  }
  if (failed())
    return system_error(EIO, "log: an earlier sync failed");
  return {};
}

// Others add records, and queue up here, while the disk works.
Status LogSync::lead() {
  syncing_ = true;
  mutex_.unlock();
  const Work work = take_work_();
  auto status = sync(work);
  if (!status)
    fail_for_ever();
  mutex_.lock();
  syncing_ = false;
  if (status)
    durable_.store(work.last, std::memory_order_release);
  done_.notify_all();
  return status;
}

void LogSync::fail_for_ever() {
  if (!failed_.exchange(true, std::memory_order_acq_rel))
    on_failure_();
}

Status LogSync::sync(const Work& work) {
  if (work.placed)
    OVL_TRY(store_.sync_blocks());
  for (const SegmentRef& segment : work.segments)
    OVL_TRY(os_.fdatasync(segment->fd()).in("log"));
  return {};
}

}  // namespace ovl
