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

void Worker::run() {
  mutex_.lock();
  while (running_) {
    if (!wanted_) {
      woken_.wait(mutex_);
      continue;
    }
    wanted_ = false;
    mutex_.unlock();
    task_();
    mutex_.lock();
  }
  mutex_.unlock();
}

}  // namespace ovl
