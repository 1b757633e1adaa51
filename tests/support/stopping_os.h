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
  uint64_t count() const { return count_; }
  void reset() {
    count_ = 0;
    stop_at_ = UINT64_MAX;
  }

  // Syncs are operations, but the test has no power to cut: they cost time.
  Status fdatasync(int) override { return carry_out(nothing); }
  Status fsync(int) override { return carry_out(nothing); }
  Status syncfs(int) override { return carry_out(nothing); }

 private:
  static Status nothing() { return {}; }
  Status carry_out(const Operation& operation) override {
    if (++count_ > stop_at_)
      return fail(EIO, "stopped");
    return operation();
  }

  std::atomic<uint64_t> count_ = 0;
  std::atomic<uint64_t> stop_at_ = UINT64_MAX;
};

}  // namespace ovl
