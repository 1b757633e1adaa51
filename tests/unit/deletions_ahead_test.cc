// SPDX-License-Identifier: BSD-3-Clause
//
// Upper has no room for what the guest made, but what the guest deleted leaves
// it: then, and behind kills and errors, upper is the guest's last state, or
// that one without what was deleted, and the device shows what was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "tests/support/checkpoint_story.h"
#include "tests/support/crash_stride.h"
#include "tests/support/full_os.h"
#include "tests/support/host_layers.h"
#include "tests/support/random_fs_ops.h"
#include "tests/support/window_script.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Lines = CheckpointWorld::Lines;

Status make_file(GuestFs& fs, const std::string& path) {
  OVL_TRY(fs.make_node(path, S_IFREG | 0600));
  return fs.write(path, 0, story_bytes(std::string(9000, path.back())));
}

Status add_files(GuestFs& fs) {
  for (const char* directory : {"tree", "tree/sub", "left", "left/sub"})
    OVL_TRY(fs.mkdir(directory, 0755));
  for (const char* path : {"log", "old", "tree/t", "tree/sub/u", "left/sub/v",
                           "left/sub/moved", "two"})
    OVL_TRY(make_file(fs, path));
  OVL_TRY(fs.symlink("log", "tree/symlink"));
  return fs.link("two", "left/two");
}

// A directory with all in it, one out of which something went, one name of
// several, a file of a lower's; and a file that another takes the place of.
Status delete_and_make(GuestFs& fs) {
  OVL_TRY(fs.unlink("log"));
  OVL_TRY(fs.remove_tree("tree"));
  OVL_TRY(fs.rename("left/sub/moved", "moved"));
  OVL_TRY(fs.remove_tree("left"));
  OVL_TRY(fs.unlink("b/a"));
  OVL_TRY(make_file(fs, "new"));
  return fs.rename("new", "old");
}

// Those of `lines` that are of none of `paths`.
Lines without(Lines lines, const std::set<std::string>& paths) {
  std::erase_if(lines, [&paths](const std::string& line) {
    return paths.contains(line.substr(1, line.find(' ') - 1));
  });
  return lines;
}

/// A checkpoint of something done, and a second one that does not fit.
class FullStory : public CheckpointStory {
 public:
  using Work = Status (*)(GuestFs&);

  FullStory(FullOs& os, Work first, Work second)
      : CheckpointStory(os), os_(os) {
    os_.fill_up(false);
    os_.reset();
    begin();
    work(first);
    checkpoint();
    work(second);
    os_.fill_up();
  }
  explicit FullStory(FullOs& os) : FullStory(os, add_files, delete_and_make) {}

  Error attempt() {
    const auto done = world.device().checkpoint_now();
    EXPECT_FALSE(done);
    return done ? Error(0, "") : done.error();
  }
  Lines between() const {
    return without(before, {"log", "tree", "tree/t", "tree/sub", "tree/sub/u",
                            "tree/symlink", "left/sub/v", "b/a"});
  }
  void end_with_room() {
    os_.fill_up(false);
    check_end();
  }

 private:
  FullOs& os_;
};

TEST(DeletionsAhead, AreInUpperWhereNewFilesHaveNoRoom) {
  FullOs os;
  FullStory story(os);
  const Error error = story.attempt();
  EXPECT_EQ(error.code(), ENOSPC);
  EXPECT_THAT(error.what(), HasSubstr("old"));
  EXPECT_THAT(
      CheckpointWorld::difference(story.between(), story.world.merged()),
      IsEmpty());
  EXPECT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
              IsEmpty());
  EXPECT_THAT(story.world.reports, Contains(HasSubstr("what was deleted")));
  story.end_with_room();
}

TEST(DeletionsAhead, AreNoReasonToTryAgainAndAgain) {
  FullOs os;
  FullStory story(os);
  story.attempt();
  const Lines state = story.world.state();
  story.attempt();
  story.attempt();
  EXPECT_EQ(story.world.state(), state);
  EXPECT_EQ(story.world.reports.size(), 1U);
  story.end_with_room();
}

// Which would need more room.
TEST(DeletionsAhead, AreAllThatTheEndOfARunDoes) {
  FullOs os;
  FullStory story(os);
  const Status ended = story.world.device().write_back();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), ENOSPC);
  EXPECT_THAT(story.world.reports, Not(Contains(HasSubstr("the whole tree"))));
  EXPECT_THAT(
      CheckpointWorld::difference(story.between(), story.world.merged()),
      IsEmpty());
  story.restart();
  story.end_with_room();
}

TEST(DeletionsAhead, AreTheStateThatTheNextStartBeginsAt) {
  FullOs os;
  FullStory story(os);
  story.attempt();
  story.restart();
  EXPECT_THAT(
      CheckpointWorld::difference(story.between(), story.world.merged()),
      IsEmpty());
  story.work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("old"));
    return fs.unlink("c");
  });
  story.checkpoint();
  story.end_with_room();
}

TEST(DeletionsAhead, KilledAnywhereNothingIsLost) {
  FullOs os;
  uint64_t operations = 0;
  {
    FullStory story(os);
    os.reset();
    story.attempt();
    operations = os.count();
  }
  ASSERT_GT(operations, 60U);
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + " of " +
                 std::to_string(operations));
    FullStory story(os);
    os.reset();
    os.stop_at(stop);
    story.attempt();
    os.reset();
    story.restart();
    ASSERT_THAT(story.world.merged(), AnyOf(story.before, story.between()));
    const Lines state = story.world.state();
    story.restart();
    ASSERT_EQ(story.world.state(), state);
    story.end_with_room();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST(DeletionsAhead, AnErrorOfTheServerThatGoesOnCostsNothing) {
  FullOs os;
  bool has_failed = true;
  for (uint64_t at = crash_start(); has_failed; at += crash_stride()) {
    SCOPED_TRACE("failed at " + std::to_string(at));
    FullStory story(os);
    os.reset();
    os.fail_at(at, EIO);
    story.attempt();
    has_failed = os.count() > at;
    os.reset();
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    story.end_with_room();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// As defragmentation does: a file gets the blocks of another, unwritten.
Status take_blocks(GuestFs& fs, const std::string& from,
                   const std::string& to) {
  const Ino source = OVL_TRY(fs.lookup(from));
  const Ino target = OVL_TRY(fs.lookup(to));
  GuestInode giver = OVL_TRY(fs.read_inode(source));
  GuestInode taker = OVL_TRY(fs.read_inode(target));
  std::swap(giver.fields.i_block, taker.fields.i_block);
  OVL_TRY(fs.write_inode(source, giver));
  OVL_TRY(fs.write_inode(target, taker));
  return fs.unlink(from);
}

TEST(DeletionsAhead, AreNotOfWhatADirectoryTookThePlaceOf) {
  FullOs os;
  FullStory story(os, add_files, [](GuestFs& fs) -> Status {
    OVL_TRY(fs.rename("tree", "tree.old"));
    OVL_TRY(fs.mkdir("tree", 0755));
    OVL_TRY(make_file(fs, "tree/t"));
    return fs.remove_tree("tree.old");
  });
  story.attempt();
  EXPECT_EQ(story.world.merged(),
            without(story.before, {"tree/sub", "tree/sub/u", "tree/symlink"}));
  story.end_with_room();
}

// What upper has of the deleted file is the other's, which is to be made anew.
TEST(DeletionsAhead, AreNotOfFilesWhoseBlocksAnotherTook) {
  FullOs os;
  FullStory story(os, add_files,
                  [](GuestFs& fs) { return take_blocks(fs, "log", "old"); });
  story.attempt();
  EXPECT_EQ(story.world.merged(), story.before);
  story.restart();
  story.end_with_room();
}

// Its bytes are in kept/ until the guest closes it.
TEST(DeletionsAhead, AreAlsoOfFilesThatAreClosed) {
  FullOs os;
  FullStory story(os, add_files,
                  [](GuestFs& fs) { return fs.unlink_in_use("log"); });
  os.fill_up(false);
  story.checkpoint();
  const auto kept = [&story] {
    return std::filesystem::directory_iterator(story.world.path(
               "work/ovl/kept")) != std::filesystem::directory_iterator();
  };
  ASSERT_TRUE(kept());
  story.work([](GuestFs& fs) -> Status {
    OVL_TRY(close_held(fs));
    return make_file(fs, "new");
  });
  os.fill_up();
  story.attempt();
  EXPECT_FALSE(kept());
  EXPECT_EQ(story.world.merged(), story.before);
  story.end_with_room();
}

std::set<std::string> paths_of(const Lines& lines) {
  std::set<std::string> paths;
  for (const std::string& line : lines)
    paths.insert(line.substr(0, line.find(' ')));
  return paths;
}

// All that upper shows it showed before, and all paths that lead somewhere
// before and after.
void check_between(const CheckpointStory& story, const Error& error) {
  ASSERT_EQ(error.code(), ENOSPC) << error.what();
  const Lines merged = story.world.merged();
  ASSERT_TRUE(std::ranges::includes(story.before, merged));
  const auto found = paths_of(merged);
  const auto after = paths_of(story.after);
  for (const std::string& path : paths_of(story.before))
    ASSERT_TRUE(found.contains(path) || !after.contains(path)) << path;
  const bool is_told =
      !story.world.reports.empty() &&
      story.world.reports.back().find("what was deleted") != std::string::npos;
  ASSERT_TRUE(is_told || merged == story.before);
}

TEST(DeletionsAhead, OfRandomWorkOnADiskThatIsFullAtTimes) {
  size_t count = 0;
  for (const uint64_t seed : random_seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    FullOs os;
    CheckpointStory story(os, seed % 3 != 0 ? CheckpointWorld::Upper::kFilled
                                            : CheckpointWorld::Upper::kEmpty);
    story.begin();
    for (int round = 0; round < 12; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      story.work([&](GuestFs& fs) -> Status {
        RandomOps ops(fs, random);
        for (uint64_t i = random() % 40; i > 0; --i)
          OVL_TRY(ops.one());
        return {};
      });
      os.fill_up(random() % 3 != 0);
      const auto done = story.world.device().checkpoint_now();
      if (done)
        ASSERT_EQ(story.world.merged(), story.after);
      else
        check_between(story, done.error());
      os.fill_up(false);
      if (random() % 3 == 0)
        story.restart();
      ASSERT_EQ(story.world.shown(), story.after);
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
    story.check_end();
    count += story.world.reports.size();
  }
  EXPECT_GT(count, 6U);
}

}  // namespace
}  // namespace ovl
