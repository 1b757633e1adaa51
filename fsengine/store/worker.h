// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <thread>

#include "fsengine/base/mutex.h"

namespace ovl {

/// A thread that does its task whenever it was woken since it last began. Its
/// methods are safe for concurrent use, but for start() and stop().
class Worker {
 public:
  explicit Worker(std::function<void()> task) : task_(std::move(task)) {}
  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  /// Waits for a task in progress.
  void stop();
  void wake();
  bool is_running() const;

 private:
  void run();

  const std::function<void()> task_;
  mutable Mutex mutex_;
  CondVar woken_;
  bool wanted_ OVL_GUARDED_BY(mutex_) = false;
  bool running_ OVL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ovl
