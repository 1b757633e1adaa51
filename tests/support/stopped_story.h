// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "tests/support/checkpoint_story.h"
#include "tests/support/stopping_os.h"

namespace ovl {

/// A checkpoint of something done, and a second one that is to be stopped.
class StoppedStory : public CheckpointStory {
 public:
  using Work = Status (*)(GuestFs&);
  struct Kind {
    Work first = first_work;
    Work second = second_work;
    Unrepresentable::Policy policy = Unrepresentable::Policy::kRecord;
    CheckpointWorld::Upper upper = CheckpointWorld::Upper::kFilled;
  };

  StoppedStory(StoppingOs& os, const Kind& kind)
      : CheckpointStory(os, kind.upper), os_(os) {
    world.config().unrepresentable = kind.policy;
    begin();
    work(kind.first);
    checkpoint();
    work(kind.second);
  }
  explicit StoppedStory(StoppingOs& os) : StoppedStory(os, Kind()) {}

  /// Returns how many operations it would have had.
  uint64_t stop_at(uint64_t operation) {
    os_.reset();
    os_.stop_at(operation);
    const auto done = world.device().checkpoint_now();
    const uint64_t count = os_.count();
    EXPECT_EQ(done.has_value(), count <= operation);
    os_.reset();
    return count;
  }

  /// One operation fails, and those after it do not.
  void fail_at(uint64_t operation, int code) {
    os_.reset();
    os_.fail_at(operation, code);
    (void)world.device().checkpoint_now();
    os_.reset();
  }

 private:
  StoppingOs& os_;
};

}  // namespace ovl
