// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/support/every_op_os.h"

namespace ovl {

/// Lets a test have something done before each durable operation of one
/// thread, by others, whose operations are counted with its own. One is done at
/// a time, as if there were one disk.
class HookedOs : public EveryOpOs {
 public:
  using Hook = std::function<void(uint64_t operation)>;

  explicit HookedOs(Os& os) : EveryOpOs(os) {}

  /// From now on `hook` is called before each operation of the calling thread,
  /// with how many it had before. REQUIRES, for this and reset(): no other
  /// thread does anything.
  void watch(Hook hook) {
    hook_ = std::move(hook);
    watched_ = std::this_thread::get_id();
    watched_count_ = 0;
  }
  /// By who is watched.
  void unwatch() { watched_ = std::thread::id(); }
  bool is_watching() const { return watched_.load() != std::thread::id(); }
  /// Nothing is watched, counted or stopped any more.
  void reset() {
    unwatch();
    hook_ = {};
    count_ = 0;
    stop_at_ = fail_from_ = UINT64_MAX;
    is_full_ = false;
  }

  /// Of all threads.
  uint64_t count() const { return count_; }
  uint64_t watched_count() const { return watched_count_; }
  /// From that operation on nothing is done any more, as by a kill.
  void stop_at(uint64_t operation) { stop_at_ = operation; }
  bool is_stopped() const { return count_ >= stop_at_; }
  /// From that operation of the watched thread on, its own fail.
  void fail_from(uint64_t operation) { fail_from_ = operation; }
  /// The host's disk has no room for the next write of another thread.
  void fill_up() { is_full_ = true; }

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    if (!is_watched() && is_full_.exchange(false))
      return system_error(ENOSPC, "write");
    return EveryOpOs::pwrite(fd, bytes, offset);
  }

 private:
  bool is_watched() const { return std::this_thread::get_id() == watched_; }

  Status carry_out(const Operation& operation) override {
    bool has_failed = false;
    if (is_watched()) {
      has_failed = watched_count_ >= fail_from_;
      hook_(watched_count_++);
    }
    const std::lock_guard lock(mutex_);
    if (has_failed)
      return system_error(EDQUOT, "failed");
    if (count_++ >= stop_at_)
      return fail(EIO, "stopped");
    return operation();
  }

  Hook hook_;
  std::atomic<std::thread::id> watched_;
  uint64_t watched_count_ = 0;
  uint64_t fail_from_ = UINT64_MAX;
  std::atomic<bool> is_full_ = false;
  std::mutex mutex_;
  std::atomic<uint64_t> count_ = 0;
  std::atomic<uint64_t> stop_at_ = UINT64_MAX;
};

}  // namespace ovl
