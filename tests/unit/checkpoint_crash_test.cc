// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint is stopped at each of its durable operations: by a kill of the
// server, or by an error that passes. Upper is then, or after the next start,
// as the guest's one or other committed state, and ends where it would have
// ended; the device never shows anything but what was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/checkpoint_world.h"
#include "tests/support/stopping_os.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::IsEmpty;
using Lines = CheckpointWorld::Lines;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Status first_work(GuestFs& fs) {
  OVL_TRY(fs.mkdir("made", 0755));
  OVL_TRY(fs.make_node("made/file", S_IFREG | 0644));
  OVL_TRY(fs.write("made/file", 0, bytes_of(std::string(9000, 'm'))));
  OVL_TRY(fs.make_node("plain", S_IFREG | 0600));
  OVL_TRY(fs.make_node("stale", S_IFREG | 0600));
  OVL_TRY(fs.mkdir("kept", 0755));
  return fs.make_node("kept/inner", S_IFREG | 0600);
}

Status change_what_upper_had(GuestFs& fs) {
  OVL_TRY(fs.write("e", 4096, bytes_of(std::string(100, 'E'))));
  OVL_TRY(fs.truncate("b/e/c", 5000));
  return fs.unlink("b/e/a");
}

// Every kind of step that publishing has.
Status second_work(GuestFs& fs) {
  OVL_TRY(fs.rename("a", "made/here"));
  OVL_TRY(fs.rename("kept", "moved"));
  OVL_TRY(fs.remove_tree("d"));
  OVL_TRY(fs.mkdir("d", 0700));
  OVL_TRY(fs.make_node("d/n", S_IFREG | 0600));
  OVL_TRY(fs.write("b/a", 0, bytes_of("after!")));
  OVL_TRY(fs.write("made/file", 4096, bytes_of(std::string(4096, 'p'))));
  OVL_TRY(fs.unlink("stale"));
  OVL_TRY(fs.unlink("plain"));
  OVL_TRY(fs.mkdir("plain", 0755));
  OVL_TRY(fs.link("c", "linked"));
  if (fs.lookup("b/e"))
    OVL_TRY(change_what_upper_had(fs));
  return fs.chmod("moved", 0750);
}

// Upper had files before, unless they would be in the way of a server without
// privilege.
CheckpointWorld::Upper upper_before() {
  return is_privileged() ? CheckpointWorld::Upper::kFilled
                         : CheckpointWorld::Upper::kEmpty;
}

class Story {
 public:
  explicit Story(StoppingOs& os) : os_(os), world(os, upper_before()) {
    world.config().check_upper = false;
    must(world.open());
    must(world.guest(first_work));
    checkpoint();
    before = world.merged();
    must(world.guest(second_work));
    after = world.shown();
  }

  // Returns how many operations it would have had.
  uint64_t stop_at(uint64_t operation) {
    os_.reset();
    os_.stop_at(operation);
    const auto done = world.device().checkpoint_now();
    const uint64_t count = os_.count();
    EXPECT_EQ(done.has_value(), count <= operation);
    os_.reset();
    return count;
  }
  void restart() {
    world.kill();
    must(world.open());
    EXPECT_THAT(CheckpointWorld::difference(after, world.shown()), IsEmpty());
  }
  // A client that is still there flushes; one sync of the log that failed is
  // for ever, and takes a restart.
  void checkpoint() {
    if (!world.device().flush()) {
      restart();
      must(world.device().flush());
    }
    const auto done = world.device().checkpoint_now();
    EXPECT_TRUE(done) << done.error().what();
    EXPECT_TRUE(done.value_or(false));
  }
  void check_end() {
    checkpoint();
    EXPECT_THAT(CheckpointWorld::difference(after, world.merged()), IsEmpty());
    world.config().check_upper = true;
    world.kill();
    must(world.open());
    must(world.end());
    EXPECT_THAT(CheckpointWorld::difference(after, world.merged()), IsEmpty());
  }
  void must(const Status& status) {
    EXPECT_TRUE(status) << status.error().what();
  }

 private:
  StoppingOs& os_;

 public:
  CheckpointWorld world;
  Lines before;
  Lines after;
};

// OVL_CRASH_STRIDE=N takes an Nth of the stops (the sanitizer builds).
uint64_t stride() {
  const char* every = std::getenv("OVL_CRASH_STRIDE");
  return every == nullptr ? 1 : std::strtoull(every, nullptr, 10);
}

TEST(CheckpointCrash, KilledAnywhereUpperIsACommittedState) {
  StoppingOs os;
  const uint64_t operations = Story(os).stop_at(UINT64_MAX);
  ASSERT_GT(operations, 60U);
  for (uint64_t stop = 0; stop < operations; stop += stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + " of " +
                 std::to_string(operations));
    Story story(os);
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

TEST(CheckpointCrash, AnErrorThatPassesCostsNothing) {
  StoppingOs os;
  const uint64_t operations = Story(os).stop_at(UINT64_MAX);
  for (uint64_t stop = 0; stop < operations; stop += stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + " of " +
                 std::to_string(operations));
    Story story(os);
    story.stop_at(stop);
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// The last checkpoint, and all that settles the device.
TEST(CheckpointCrash, KilledAtTheEndTheNextRunEnds) {
  StoppingOs os;
  bool was_stopped = true;
  for (uint64_t stop = 0; was_stopped; stop += stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    Story story(os);
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
  const uint64_t operations = Story(os).stop_at(UINT64_MAX);
  for (uint64_t stop = operations / 3; stop < operations;
       stop += 11 * stride()) {
    bool was_stopped = true;
    for (uint64_t again = 0; was_stopped; ++again) {
      SCOPED_TRACE("stopped at " + std::to_string(stop) + ", then at " +
                   std::to_string(again));
      Story story(os);
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
