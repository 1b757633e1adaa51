// SPDX-License-Identifier: BSD-3-Clause
//
// Power is lost at each durable operation of a checkpoint, and of the end of a
// run. What no sync had made durable is lost, or kept, or some of it
// (tests/support/power_loss.cc). The next start brings upper to one committed
// state or the other, shows the device as it was, and a loss of power behind it
// takes nothing back.
//
// OVL_CRASH_STRIDE=N takes every Nth operation only (the sanitizer builds).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "fsengine/device/unsettled.h"
#include "tests/support/crash_stride.h"
#include "tests/support/power_story.h"

namespace ovl {
namespace {

using ::testing::IsEmpty;
using Lines = CheckpointWorld::Lines;

using Act = PowerStory::Act;
using Story = PowerStory;

constexpr Act kActs[] = {Act::kFirst, Act::kNext,  Act::kResumed,
                         Act::kEnd,   Act::kWhole, Act::kEmpty};

struct Stops {
  uint64_t first = 0;
  uint64_t step = 1;
};

// Without a loss it is a kill, which checkpoint_crash_test looks at closely;
// and what is on disk for certain is another only behind a sync.
Stops stops_for(Loss loss) {
  if (loss == Loss::kAll)
    return {};
  return {1, loss == Loss::kNothing ? 7U : 2U};
}

void sweep(Act act, Loss loss, const Stops& stops, uint64_t seed) {
  PowerOs os;
  bool is_done = false;
  for (uint64_t stop = stops.first; !is_done;
       stop += stops.step * crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + ", seed " +
                 std::to_string(seed));
    Story story(os, act);
    is_done = story.run_until(stop);
    if (loss == Loss::kAll && !story.is_behind_sync())
      continue;
    story.lose_power(loss, seed + stop);
    story.check_all();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

class CheckpointPower : public ::testing::TestWithParam<std::tuple<Act, Loss>> {
};

TEST_P(CheckpointPower, LostAnywhereUpperIsACommittedState) {
  const auto [act, loss] = GetParam();
  sweep(act, loss, stops_for(loss), 1);
}

std::string name_of(Act act) {
  constexpr const char* kNames[] = {"First", "Next",  "Resumed",
                                    "End",   "Whole", "Empty"};
  return kNames[static_cast<int>(act)];
}
std::string name_of(Loss loss) {
  constexpr const char* kNames[] = {"NothingLost", "AllLost", "BytesLost",
                                    "JournalCut", "AnyOrder"};
  return kNames[static_cast<int>(loss)];
}

INSTANTIATE_TEST_SUITE_P(
    Power, CheckpointPower,
    ::testing::Combine(::testing::ValuesIn(kActs),
                       ::testing::Values(Loss::kNothing, Loss::kAll,
                                         Loss::kBytes, Loss::kJournal,
                                         Loss::kAnyOrder)),
    [](const auto& param) {
      return name_of(std::get<0>(param.param)) +
             name_of(std::get<1>(param.param));
    });

class CheckpointHost : public ::testing::TestWithParam<Act> {};

// What a killed server did is in the host's cache, where the next one finds it,
// and not on disk.
TEST_P(CheckpointHost, KilledThenLosesPowerWhileTheNextStartRecovers) {
  PowerOs os;
  std::mt19937_64 random(1);
  bool is_done = false;
  for (uint64_t stop = crash_start(); !is_done; stop += crash_stride()) {
    const uint64_t again = random() % 70;
    SCOPED_TRACE("killed at " + std::to_string(stop) + ", power lost at " +
                 std::to_string(again));
    Story story(os, GetParam());
    is_done = story.run_until(stop);
    os.stop_at(again);
    (void)story.world.open();
    story.lose_power(stop % 2 == 0 ? Loss::kAll : Loss::kAnyOrder, stop);
    story.check_all();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// Every run of the test takes something else.
TEST_P(CheckpointHost, LosesSomethingElseInEachRun) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  sweep(GetParam(), Loss::kJournal, {seed % 11, 11}, seed);
  sweep(GetParam(), Loss::kAnyOrder, {seed % 7, 7}, seed);
}

INSTANTIATE_TEST_SUITE_P(Host, CheckpointHost, ::testing::ValuesIn(kActs),
                         [](const auto& param) {
                           return name_of(param.param);
                         });

class CheckpointSync : public ::testing::TestWithParam<Act> {};

// A sync fails, and its bytes are lost with no more said.
TEST_P(CheckpointSync, AFailedSyncIsNotMadeGoodByALaterOne) {
  PowerOs os;
  uint64_t operations = UINT64_MAX;
  for (uint64_t stop = crash_start(); stop / 2 < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("sync that fails: " + std::to_string(stop / 2));
    Story story(os, GetParam());
    os.reset();
    os.fail_sync_at(stop / 2);
    (void)story.run();
    operations = os.has_failed() ? operations : os.count();
    if (!os.has_failed())
      continue;
    os.reset();
    story.run_again(stop % 2 == 0);
    story.lose_power(Loss::kAll, 0);
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.merged()),
                IsEmpty());
    story.check_all();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(Host, CheckpointSync, ::testing::ValuesIn(kActs),
                         [](const auto& param) {
                           return name_of(param.param);
                         });

// The guest was told that its flush failed. What the next server shows and
// flushes is there.
TEST(CheckpointFlush, AFlushThatSucceedsBehindOneThatFailedIsTrue) {
  PowerOs os;
  uint64_t operations = UINT64_MAX;
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("sync that fails: " + std::to_string(stop));
    Story story(os, Act::kFirst);
    os.reset();
    os.fail_sync_at(stop);
    (void)story.world.guest(second_work);
    operations = os.has_failed() ? operations : os.count();
    if (!os.has_failed())
      continue;
    os.reset();
    ASSERT_TRUE(story.world.open());
    const Lines shown = story.world.shown();
    ASSERT_TRUE(story.world.device().flush());
    story.lose_power(Loss::kAll, 0);
    ASSERT_TRUE(story.world.open());
    ASSERT_THAT(CheckpointWorld::difference(shown, story.world.shown()),
                IsEmpty());
  }
}

class CheckpointRetry : public ::testing::TestWithParam<Act> {};

// What did not get through may have been written all the same.
TEST_P(CheckpointRetry, StoppedAgainBehindAFailedSync) {
  PowerOs os;
  std::mt19937_64 random(1);
  uint64_t operations = UINT64_MAX;
  for (uint64_t stop = crash_start(); stop / 3 < operations;
       stop += crash_stride()) {
    const uint64_t again = random() % 60;
    SCOPED_TRACE("sync that fails: " + std::to_string(stop / 3) +
                 ", stopped again at " + std::to_string(again));
    Story story(os, GetParam());
    os.reset();
    os.fail_sync_at(stop / 3);
    (void)story.run();
    operations = os.has_failed() ? operations : os.count();
    if (!os.has_failed())
      continue;
    os.reset();
    os.stop_at(again);
    (void)story.run();
    story.world.kill();
    os.reset();
    if (stop % 3 != 0)
      story.lose_power(stop % 3 == 1 ? Loss::kAll : Loss::kAnyOrder, stop);
    story.check_all();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(Host, CheckpointRetry,
                         ::testing::Values(Act::kFirst, Act::kNext,
                                           Act::kResumed, Act::kEmpty),
                         [](const auto& param) {
                           return name_of(param.param);
                         });

TEST(CheckpointMarker, StandsWithTheFirstFlush) {
  PowerOs os;
  Story story(os, Act::kFirst);
  story.lose_power(Loss::kAll, 0);
  const Fd upper = open_dir(story.world.path("upper"));
  EXPECT_FALSE(refuse_unsettled(upper.get(), "upperdir"));
  EXPECT_TRUE(std::filesystem::exists(
      story.world.path("work/work/incompat/" + std::string(kUnsettledEntry))));
  story.restart();
}

// What the host keeps is what was recorded, or no test here means anything.
TEST(PowerOs, RecordsAllThatIsDone) {
  PowerOs os;
  Story story(os, Act::kResumed);
  ASSERT_TRUE(story.run());
  EXPECT_THAT(os.difference(), IsEmpty());
  story.check_end();
  EXPECT_THAT(os.difference(), IsEmpty());
}

}  // namespace
}  // namespace ovl
