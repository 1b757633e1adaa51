// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/worker.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace ovl {
namespace {

using namespace std::chrono_literals;

// Waits for ever, so that a slow machine proves nothing: the test's own limit
// tells a worker that does not come.
class Counted {
 public:
  void operator()() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ >= count; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

TEST(Worker, WokenBeforeItStartsItRuns) {
  Counted task;
  Worker worker([&] { task(); });
  worker.wake();
  worker.start();
  task.wait_for(1);
  worker.stop();
  EXPECT_EQ(task.count(), 1);
}

TEST(Worker, WithAPeriodItRunsAgainUnasked) {
  Counted task;
  Worker worker([&] { task(); }, 1ms);
  worker.start();
  task.wait_for(3);
  worker.stop();
}

TEST(Worker, ALongPeriodDoesNotKeepItFromBeingWokenOrStopped) {
  Counted task;
  Worker worker([&] { task(); }, 24h);
  worker.start();
  worker.wake();
  task.wait_for(1);
  worker.stop();
  EXPECT_EQ(task.count(), 1);
}

}  // namespace
}  // namespace ovl
