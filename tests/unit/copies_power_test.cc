// SPDX-License-Identifier: BSD-3-Clause
//
// Power is lost while a large file is copied ahead, at each durable operation.
// What the record says is there, and not read again; and upper gets the file as
// the guest has it.
//
// OVL_CRASH_STRIDE=N takes every Nth operation only (the sanitizer builds).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/copy_story.h"
#include "tests/support/crash_stride.h"
#include "tests/support/power_os.h"

namespace ovl {
namespace {

using ::testing::IsEmpty;
using WatchOs = CopyWatch<PowerOs>;

class Story : public CopyStory {
 public:
  explicit Story(WatchOs& os) : CopyStory(os), os_(os) {
    const std::string morgue = world.path("morgue");
    std::filesystem::create_directory(morgue);
    os.before_copy = {};
    os.watch({world.path("upper"), world.path("work")}, morgue);
    begin();
    work([](GuestFs& fs) -> Status {
      OVL_TRY(change_one_byte(fs));
      OVL_TRY(fs.punch("big", 100, 5));
      return fs.set_xattr("big", "user.one", "1");
    });
  }

  // Whether all was done.
  bool run_until(uint64_t operation) {
    os_.reset();
    os_.stop_at(operation);
    const bool done = try_checkpoint().has_value();
    const bool was_stopped = os_.count() > operation;
    is_behind_sync_ = os_.is_behind_sync();
    EXPECT_EQ(done, !was_stopped);
    world.kill();
    os_.reset();
    return done;
  }
  bool is_behind_sync() const { return is_behind_sync_; }
  void lose_power(Loss loss, uint64_t seed) {
    world.kill();
    os_.reset();
    os_.cut(loss, seed);
  }
  // What the record has is not read again.
  void check_resumed() {
    const auto has = kept();
    os_.copied.clear();
    restart();
    checkpoint();
    for (const uint64_t chunk : os_.copied)
      ASSERT_FALSE(has.contains(chunk)) << chunk;
    expect_given("big");
    expect_after(world.merged());
  }

 private:
  WatchOs& os_;
  bool is_behind_sync_ = false;
};

class CopiesPower : public ::testing::TestWithParam<Loss> {};

TEST_P(CopiesPower, LostAnywhereTheCopyGoesOn) {
  const Loss loss = GetParam();
  const uint64_t step = loss == Loss::kAll ? 1 : 3;
  WatchOs os;
  bool is_done = false;
  for (uint64_t stop = 0; !is_done; stop += step * crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    Story story(os);
    is_done = story.run_until(stop);
    if (loss == Loss::kAll && !story.is_behind_sync())
      continue;
    story.lose_power(loss, stop);
    story.check_resumed();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// What was resumed is interrupted again.
TEST_P(CopiesPower, LostTwiceTheCopyGoesOn) {
  const Loss loss = GetParam();
  WatchOs os;
  bool is_done = false;
  for (uint64_t stop = 5; !is_done; stop += 13 * crash_stride()) {
    const uint64_t again = 3 + stop * 7 % 61;
    SCOPED_TRACE("stopped at " + std::to_string(stop) + ", then at " +
                 std::to_string(again));
    Story story(os);
    is_done = story.run_until(stop);
    story.lose_power(loss, stop);
    story.restart();
    os.stop_at(again);
    (void)story.try_checkpoint();
    story.lose_power(loss, again);
    story.check_resumed();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

std::string name_of(Loss loss) {
  constexpr const char* kNames[] = {"NothingLost", "AllLost", "BytesLost",
                                    "JournalCut", "AnyOrder"};
  return kNames[static_cast<int>(loss)];
}

INSTANTIATE_TEST_SUITE_P(Host, CopiesPower,
                         ::testing::Values(Loss::kNothing, Loss::kAll,
                                           Loss::kBytes, Loss::kJournal,
                                           Loss::kAnyOrder),
                         [](const auto& param) {
                           return name_of(param.param);
                         });

// A sync that fails loses the bytes that it was to write, and a later one says
// nothing of that.
TEST(CopiesSync, OneThatFailedIsNotMadeGoodByALaterOne) {
  WatchOs os;
  uint64_t operations = UINT64_MAX;
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("sync that fails: " + std::to_string(stop));
    Story story(os);
    os.reset();
    os.fail_sync_at(stop);
    (void)story.try_checkpoint();
    operations = os.has_failed() ? operations : os.count();
    if (!os.has_failed())
      continue;
    os.reset();
    story.restart();
    story.checkpoint();
    story.lose_power(Loss::kAll, 0);
    story.restart();
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.merged()),
                IsEmpty());
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace ovl
