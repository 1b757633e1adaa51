// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/worker.h"

namespace ovl {

void Worker::start() {
  {
    const MutexLock lock(mutex_);
    if (running_)
      return;
    running_ = true;
  }
  thread_ = std::thread([this] { run(); });
}

void Worker::stop() {
  {
    const MutexLock lock(mutex_);
    running_ = false;
    woken_.notify_all();
  }
  if (thread_.joinable())
    thread_.join();
}

void Worker::wake() {
  const MutexLock lock(mutex_);
  wanted_ = true;
  woken_.notify_all();
}

bool Worker::is_running() const {
  const MutexLock lock(mutex_);
  return running_;
}

// Returns true when there is something to do.
bool Worker::wait() {
  using Clock = std::chrono::steady_clock;
  const auto due = Clock::now() + period_.value_or(Period{});
  while (running_ && !wanted_) {
    if (!period_) {
      woken_.wait(mutex_);
      continue;
    }
    const auto left = due - Clock::now();
    if (left <= Clock::duration::zero())
      break;
    woken_.wait_for(mutex_, left);
  }
  wanted_ = false;
  return running_;
}

void Worker::run() {
  mutex_.lock();
  while (wait()) {
    mutex_.unlock();
    task_();
    mutex_.lock();
  }
  mutex_.unlock();
}

}  // namespace ovl
