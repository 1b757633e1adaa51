// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint is stopped at each of its durable operations by a kill of the
// server. Upper is then, or after the next start, as the guest's one or other
// committed state, and ends where it would have ended; the device never shows
// anything but what was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/crash_stride.h"
#include "tests/support/stopped_story.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::IsEmpty;
using Lines = CheckpointWorld::Lines;

TEST(CheckpointCrash, KilledAnywhereUpperIsACommittedState) {
  StoppingOs os;
  const uint64_t operations = StoppedStory(os).stop_at(UINT64_MAX);
  ASSERT_GT(operations, 60U);
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + " of " +
                 std::to_string(operations));
    StoppedStory story(os);
    story.stop_at(stop);
    story.restart();
    const Lines found = story.world.merged();
    ASSERT_THAT(found, AnyOf(story.before, story.after));
    const Lines state = story.world.state();
    story.restart();
    ASSERT_EQ(story.world.state(), state);
    story.check_end();
    ASSERT_THAT(
        story.world.reports,
        Each("finished a checkpoint that was interrupted: upperdir is whole"));
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// The last checkpoint, and all that settles the device.
TEST(CheckpointCrash, KilledAtTheEndTheNextRunEnds) {
  StoppingOs os;
  bool was_stopped = true;
  for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    StoppedStory story(os);
    os.reset();
    os.stop_at(stop);
    const Status ended = story.world.device().write_back();
    was_stopped = os.count() > stop;
    os.reset();
    ASSERT_EQ(ended.has_value(), !was_stopped);
    story.restart();
    ASSERT_THAT(story.world.merged(), AnyOf(story.before, story.after));
    const Status again = story.world.end();
    ASSERT_TRUE(again) << again.error().what();
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.merged()),
                IsEmpty());
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// The recovery may itself be interrupted, anywhere.
TEST(CheckpointCrash, KilledTwiceUpperEndsInTheSameState) {
  StoppingOs os;
  const uint64_t operations = StoppedStory(os).stop_at(UINT64_MAX);
  for (uint64_t stop = operations / 3; stop < operations;
       stop += 11 * crash_stride()) {
    bool was_stopped = true;
    for (uint64_t again = 0; was_stopped; ++again) {
      SCOPED_TRACE("stopped at " + std::to_string(stop) + ", then at " +
                   std::to_string(again));
      StoppedStory story(os);
      story.stop_at(stop);
      story.world.kill();
      os.stop_at(again);
      (void)story.world.open();
      was_stopped = os.count() > again;
      os.reset();
      story.restart();
      story.check_end();
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
}

}  // namespace
}  // namespace ovl
