// SPDX-License-Identifier: BSD-3-Clause
//
// A plan that was begun has the room that it needs: it is taken before, and
// where somebody else was quicker, what the plan took out of upper makes some.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/checkpoint_story.h"
#include "tests/support/crash_stride.h"
#include "tests/support/power_os.h"
#include "tests/support/small_disk_os.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::IsEmpty;
using Lines = CheckpointWorld::Lines;

constexpr uint64_t kKiB = 1024;

Status write_bytes(GuestFs& fs, const std::string& path, uint64_t bytes) {
  if (!fs.lookup(path))
    OVL_TRY(fs.make_node(path, S_IFREG | 0600));
  return fs.write(path, 0, story_bytes(std::string(bytes, path.front())));
}

/// Upper has a file with a hole, which the guest fills, and two that the guest
/// takes away, one by a rename of another, which is in a directory that upper
/// has not.
template <typename Base>
class RoomStoryOf : public CheckpointStory {
 public:
  /// `power` is what `os` is around, if it can lose its power.
  explicit RoomStoryOf(SmallDisk<Base>& os, PowerOs* power = nullptr)
      : CheckpointStory(os), os_(os) {
    if (power != nullptr) {
      std::filesystem::create_directory(world.path("morgue"));
      power->watch({world.path("upper"), world.path("work")},
                   world.path("morgue"));
    }
    os_.set_unlimited();
    os_.set_root(world.path(""));
    begin();
    work([](GuestFs& fs) -> Status {
      OVL_TRY(fs.make_node("hole", S_IFREG | 0600));
      OVL_TRY(fs.truncate("hole", 512 * kKiB));
      OVL_TRY(fs.mkdir("junk", 0755));
      OVL_TRY(write_bytes(fs, "junk/file", 640 * kKiB));
      return write_bytes(fs, "over", 64 * kKiB);
    });
    checkpoint();
    work([](GuestFs& fs) -> Status {
      OVL_TRY(write_bytes(fs, "hole", 384 * kKiB));
      OVL_TRY(fs.remove_tree("junk"));
      OVL_TRY(fs.unlink("over"));
      return fs.mkdir("over", 0755);
    });
  }

  // Until the guest's deletions have made it, if they are to.
  void leave(uint64_t bytes) { os_.set_free(bytes); }
  void lose_room_while_publishing() {
    os_.on_room = [this] { os_.set_free(64 * kKiB); };
  }
  void end() {
    os_.on_room = {};
    os_.set_unlimited();
    check_end();
  }

 private:
  SmallDisk<Base>& os_;
};
using RoomStory = RoomStoryOf<StoppingOs>;

TEST(PublishRoom, IsTakenBeforeThePlanCounts) {
  SmallDiskOs os;
  RoomStory story(os);
  // For what is staged, but not for as much again in upper.
  story.leave(512 * kKiB);
  story.checkpoint();
  EXPECT_EQ(story.world.merged(), story.after);
  story.end();
}

TEST(PublishRoom, WithoutAnyUpperIsAsItWas) {
  SmallDiskOs os;
  RoomStory story(os);
  story.work([](GuestFs& fs) { return write_bytes(fs, "hole", 500 * kKiB); });
  story.leave(16 * kKiB);
  const auto done = story.world.device().checkpoint_now();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ENOSPC);
  story.restart();
  story.leave(2048 * kKiB);
  story.checkpoint();
  story.end();
}

TEST(PublishRoom, OfWhatWasTakenOutIsUsedWhereOthersWereQuicker) {
  SmallDiskOs os;
  RoomStory story(os);
  story.leave(1024 * kKiB);
  story.lose_room_while_publishing();
  story.checkpoint();
  EXPECT_EQ(os.on_room, nullptr);
  EXPECT_EQ(story.world.merged(), story.after);
  story.end();
}

TEST(PublishRoom, KilledAnywhereThePlanEnds) {
  SmallDiskOs os;
  bool was_stopped = true;
  for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    RoomStory story(os);
    story.leave(1024 * kKiB);
    story.lose_room_while_publishing();
    os.reset();
    os.stop_at(stop);
    (void)story.world.device().checkpoint_now();
    was_stopped = os.count() > stop;
    os.reset();
    story.restart();
    ASSERT_THAT(story.world.merged(), AnyOf(story.before, story.after));
    story.end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// Names may reach the disk in any order: what is removed must not be missed.
TEST(PublishRoom, WithoutPowerAnywhereThePlanEnds) {
  PowerOs power;
  SmallDisk<WrapOs> os(power);
  bool was_stopped = true;
  for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    RoomStoryOf<WrapOs> story(os, &power);
    story.leave(1024 * kKiB);
    story.lose_room_while_publishing();
    power.reset();
    power.stop_at(stop);
    (void)story.world.device().checkpoint_now();
    was_stopped = power.count() > stop;
    story.world.kill();
    power.reset();
    power.cut(stop % 2 == 0 ? Loss::kAnyOrder : Loss::kAll, stop);
    os.set_unlimited();
    story.restart();
    ASSERT_THAT(story.world.merged(), AnyOf(story.before, story.after));
    story.end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace ovl
