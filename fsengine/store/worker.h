// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <thread>

#include "fsengine/base/mutex.h"

namespace ovl {

/// A thread that does its task whenever it was woken since it last began, or
/// when `period` has passed since it ended, if one is given. Its
/// methods are safe for concurrent use, but for start() and stop().
class Worker {
 public:
  using Period = std::chrono::milliseconds;

  explicit Worker(std::function<void()> task,
                  std::optional<Period> period = std::nullopt)
      : task_(std::move(task)), period_(period) {}
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
  bool wait() OVL_REQUIRES(mutex_);

  const std::function<void()> task_;
  const std::optional<Period> period_;
  mutable Mutex mutex_;
  CondVar woken_;
  bool wanted_ OVL_GUARDED_BY(mutex_) = false;
  bool running_ OVL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ovl
