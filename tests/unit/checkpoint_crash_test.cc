// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint is stopped at each of its durable operations: by a kill of the
// server, or by an error that passes. Upper is then, or after the next start,
// as the guest's one or other committed state, and ends where it would have
// ended; the device never shows anything but what was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/checkpoint_story.h"
#include "tests/support/crash_stride.h"
#include "tests/support/descriptor_limit.h"
#include "tests/support/stopping_os.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::IsEmpty;
using Lines = CheckpointWorld::Lines;

using Work = Status (*)(GuestFs&);

class Story : public CheckpointStory {
 public:
  explicit Story(StoppingOs& os, Work first = first_work,
                 Work second = second_work)
      : CheckpointStory(os), os_(os) {
    begin();
    work(first);
    checkpoint();
    work(second);
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

 private:
  StoppingOs& os_;
};

TEST(CheckpointCrash, KilledAnywhereUpperIsACommittedState) {
  StoppingOs os;
  const uint64_t operations = Story(os).stop_at(UINT64_MAX);
  ASSERT_GT(operations, 60U);
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
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
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
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

Status add_files(GuestFs& fs) {
  OVL_TRY(first_work(fs));
  OVL_TRY(fs.mkdir("gone", 0755));
  OVL_TRY(fs.make_node("gone/file", S_IFREG | 0600));
  for (const char* path : {"plain", "stale", "kept/inner", "gone/file"})
    OVL_TRY(fs.write(
        path, 0,
        story_bytes(std::string(4096, path[0]) + std::string(4096, path[1]))));
  return {};
}

// Files and directories of upper's: into each other, into new ones, over each
// other, and away.
Status move_files(GuestFs& fs) {
  OVL_TRY(fs.mkdir("new", 0755));
  OVL_TRY(fs.rename("b/e", "a/inner"));
  OVL_TRY(fs.rename("a", "new/a"));
  OVL_TRY(fs.rename("e", "new/e"));
  OVL_TRY(fs.rename("new/a/e", "e"));
  OVL_TRY(fs.rename("plain", "between"));
  OVL_TRY(fs.rename("stale", "plain"));
  OVL_TRY(fs.rename("between", "stale"));
  OVL_TRY(fs.rename("d/b", "new/a/inner/d"));
  OVL_TRY(fs.unlink("new/a/inner/d/b/c"));
  OVL_TRY(fs.rename("made/file", "new/a/inner/d/b/c"));
  OVL_TRY(fs.unlink("c"));
  OVL_TRY(fs.rename("kept/inner", "c"));
  return fs.remove_tree("gone");
}

// Of those that cannot be read.
std::vector<uint64_t> blocks_in_error(Device& device) {
  std::vector<uint64_t> blocks;
  std::array<std::byte, kBlockSize> bytes;
  for (uint64_t at = 0; at < device.size(); at += kBlockSize)
    if (!device.read(at, bytes))
      blocks.push_back(at / kBlockSize);
  return blocks;
}

// A server that has just started has no file of upper's open: it finds those
// that a checkpoint was about to move, or to remove, wherever that left them.
TEST(CheckpointCrash, AfterAnErrorEachBlockIsRead) {
  StoppingOs os;
  const uint64_t operations =
      Story(os, add_files, move_files).stop_at(UINT64_MAX);
  ASSERT_GT(operations, 60U);
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    Story story(os, add_files, move_files);
    story.world.kill();
    ASSERT_TRUE(story.world.open());
    ASSERT_TRUE(story.world.device().flush());
    story.stop_at(stop);
    ASSERT_THAT(blocks_in_error(story.world.device()), IsEmpty());
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

constexpr int kManyFiles = 40;

std::string many_path(int index) {
  return "many/" + std::to_string(index);
}

Status add_many_files(GuestFs& fs) {
  OVL_TRY(fs.mkdir("many", 0755));
  for (int i = 0; i < kManyFiles; ++i) {
    OVL_TRY(fs.make_node(many_path(i), S_IFREG | 0600));
    OVL_TRY(
        fs.write(many_path(i), 0,
                 story_bytes(std::string(4096, 'a') + std::string(4096, 'b'))));
  }
  return {};
}

// As defragmentation does: each becomes another file of upper's.
Status move_blocks(GuestFs& fs) {
  for (int i = 0; i < kManyFiles; ++i) {
    const Ino ino = OVL_TRY(fs.lookup(many_path(i)));
    GuestInode inode = OVL_TRY(fs.read_inode(ino));
    std::swap(inode.fields.i_block[0], inode.fields.i_block[1]);
    OVL_TRY(fs.write_inode(ino, inode));
  }
  return {};
}

// Fewer descriptors than files that are made anew: they cannot all be read by
// one that was opened before.
TEST(CheckpointCrash, AfterAnErrorFilesThatAreMadeAnewAreRead) {
  const DescriptorLimit few(256);
  StoppingOs os;
  const uint64_t operations =
      Story(os, add_many_files, move_blocks).stop_at(UINT64_MAX);
  for (uint64_t stop = operations - 5; stop > kManyFiles; stop -= 10) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    Story story(os, add_many_files, move_blocks);
    story.stop_at(stop);
    ASSERT_THAT(blocks_in_error(story.world.device()), IsEmpty());
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
  for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
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
       stop += 11 * crash_stride()) {
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
