// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "tests/support/every_op_os.h"

namespace ovl {

/// Counts durable operations, and from one of them on does nothing any more,
/// as if the process had been killed there: what was done stays, what comes
/// fails. For any thread.
class StoppingOs : public EveryOpOs {
 public:
  void stop_at(uint64_t operation) { stop_at_ = operation; }
  /// That operation alone fails, and is not done.
  void fail_at(uint64_t operation, int code) {
    fail_at_ = operation;
    code_ = code;
  }
  uint64_t count() const { return count_; }
  void reset() {
    count_ = 0;
    stop_at_ = fail_at_ = UINT64_MAX;
  }

  // Syncs are operations, but the test has no power to cut: they cost time.
  Status fdatasync(int) override { return carry_out(nothing); }
  Status fsync(int) override { return carry_out(nothing); }
  Status syncfs(int) override { return carry_out(nothing); }

 private:
  static Status nothing() { return {}; }
  Status carry_out(const Operation& operation) override {
    const uint64_t now = count_++;
    if (now >= stop_at_)
      return fail(EIO, "stopped");
    return now == fail_at_ ? system_error(code_, "failed") : operation();
  }

  std::atomic<uint64_t> count_ = 0;
  std::atomic<uint64_t> stop_at_ = UINT64_MAX;
  std::atomic<uint64_t> fail_at_ = UINT64_MAX;
  std::atomic<int> code_ = 0;
};

}  // namespace ovl
