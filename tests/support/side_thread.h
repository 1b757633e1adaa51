// SPDX-License-Identifier: BSD-3-Clause
//
// A thread that does one thing at a time for a test which stands still
// meanwhile, and so may hold locks that the thread needs.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace ovl {

class SideThread {
 public:
  using Job = std::function<void()>;

  SideThread() : thread_([this] { run(); }) {}
  ~SideThread() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  /// After what was given before.
  void give(Job job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }
  bool is_idle() const {
    const std::lock_guard lock(mutex_);
    return jobs_.empty();
  }
  /// True when all is done. False when it waits, as far as one can see: who
  /// calls has the lock, or somebody who waits for the caller.
  bool settle() {
    constexpr int kSure = 3;
    for (int asleep = 0; asleep < kSure;) {
      if (wait_a_little())
        return true;
      asleep = is_asleep() ? asleep + 1 : 0;
    }
    return false;
  }
  /// REQUIRES: nobody holds a lock that it needs for long.
  void finish() {
    while (!wait_a_little())
      continue;
  }

 private:
  bool wait_a_little() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::microseconds(100),
                             [this] { return jobs_.empty(); });
  }

  // In the middle of a job.
  bool is_asleep() const {
    {
      const std::lock_guard lock(mutex_);
      if (!is_busy_)
        return false;
    }
    std::ifstream file("/proc/self/task/" + std::to_string(id_) + "/stat");
    std::string stat;
    std::getline(file, stat);
    const size_t name_end = stat.rfind(')');
    return name_end != stat.npos && stat.compare(name_end, 3, ") S") == 0;
  }

  void run() {
    std::unique_lock lock(mutex_);
    id_ = static_cast<pid_t>(::syscall(SYS_gettid));
    for (;;) {
      changed_.wait(lock, [this] { return is_ending_ || !jobs_.empty(); });
      if (jobs_.empty())
        return;
      is_busy_ = true;
      const Job job = jobs_.front();
      lock.unlock();
      job();
      lock.lock();
      is_busy_ = false;
      jobs_.pop_front();
      changed_.notify_all();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool is_busy_ = false;
  bool is_ending_ = false;
  pid_t id_ = 0;
  std::thread thread_;
};

}  // namespace ovl
