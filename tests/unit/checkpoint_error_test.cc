// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint fails at each of its durable operations, and the same server
// goes on: it shows what was written, whatever became of upper's files, and the
// next attempt ends where the first would have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "tests/support/crash_stride.h"
#include "tests/support/descriptor_limit.h"
#include "tests/support/stopped_story.h"
#include "tests/support/window_script.h"

namespace ovl {
namespace {

using ::testing::IsEmpty;

TEST(CheckpointError, AnErrorThatPassesCostsNothing) {
  StoppingOs os;
  const uint64_t operations = StoppedStory(os).stop_at(UINT64_MAX);
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + " of " +
                 std::to_string(operations));
    StoppedStory story(os);
    story.stop_at(stop);
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

class CheckpointOneError : public ::testing::TestWithParam<int> {};

// What upper refuses is no reason to do without, here. That takes an upper
// which can have all permissions, or none yet.
StoppedStory::Kind kind_for(int code) {
  StoppedStory::Kind kind;
  if (code != EPERM)
    return kind;
  kind.policy = Unrepresentable::Policy::kHold;
  if (!is_privileged())
    kind.upper = CheckpointWorld::Upper::kEmpty;
  return kind;
}

TEST_P(CheckpointOneError, CostsNothing) {
  StoppingOs os;
  const StoppedStory::Kind kind = kind_for(GetParam());
  const uint64_t operations = StoppedStory(os, kind).stop_at(UINT64_MAX);
  for (uint64_t at = crash_start(); at < operations; at += crash_stride()) {
    SCOPED_TRACE("failed at " + std::to_string(at) + " of " +
                 std::to_string(operations));
    StoppedStory story(os, kind);
    story.fail_at(at, GetParam());
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}
// The last checkpoint, and all that settles the device; then the next run.
TEST_P(CheckpointOneError, AtTheEndCostsNothing) {
  StoppingOs os;
  const StoppedStory::Kind kind = kind_for(GetParam());
  bool has_failed = true;
  for (uint64_t at = crash_start(); has_failed; at += crash_stride()) {
    SCOPED_TRACE("failed at " + std::to_string(at));
    StoppedStory story(os, kind);
    os.reset();
    os.fail_at(at, GetParam());
    (void)story.world.device().write_back();
    has_failed = os.count() > at;
    os.reset();
    story.restart();
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(Host, CheckpointOneError,
                         ::testing::Values(EIO, ENOSPC, EDQUOT, EPERM),
                         [](const auto& code) {
                           return std::string(::strerrorname_np(code.param));
                         });

Status add_files(GuestFs& fs) {
  OVL_TRY(first_work(fs));
  OVL_TRY(fs.mkdir("gone", 0755));
  OVL_TRY(fs.make_node("gone/file", S_IFREG | 0600));
  for (const char* path : {"plain", "stale", "kept/inner", "gone/file"})
    for (uint64_t block = 0; block < 3; ++block)
      OVL_TRY(fs.write(path, block * 4096,
                       story_bytes(std::string(4096, path[block]))));
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
TEST(CheckpointError, AfterAnErrorEachBlockIsRead) {
  StoppingOs os;
  const uint64_t operations =
      StoppedStory(os, {add_files, move_files}).stop_at(UINT64_MAX);
  ASSERT_GT(operations, 60U);
  for (uint64_t stop = crash_start(); stop < operations;
       stop += crash_stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    StoppedStory story(os, {add_files, move_files});
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

// As defragmentation does: it becomes another file of upper's.
Status swap_blocks(GuestFs& fs, const std::string& path) {
  const Ino ino = OVL_TRY(fs.lookup(path));
  GuestInode inode = OVL_TRY(fs.read_inode(ino));
  std::swap(inode.fields.i_block[0], inode.fields.i_block[1]);
  return fs.write_inode(ino, inode);
}

Status move_blocks(GuestFs& fs) {
  for (int i = 0; i < kManyFiles; ++i)
    OVL_TRY(swap_blocks(fs, many_path(i)));
  return {};
}

// The one is made anew, with a block that stays where it was; the other stays
// as it is without a name.
Status need_old_files(GuestFs& fs) {
  OVL_TRY(swap_blocks(fs, "plain"));
  return fs.unlink_in_use("stale");
}

// One of them is closed, and others take its place.
Status need_others(GuestFs& fs) {
  OVL_TRY(close_held(fs));
  OVL_TRY(swap_blocks(fs, "kept/inner"));
  return fs.unlink_in_use("plain");
}

void check_kept(StoppedStory& story) {
  ASSERT_THAT(blocks_in_error(story.world.device()), IsEmpty());
  story.checkpoint();
  for (int server = 0; server < 2; ++server) {
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    ASSERT_EQ(story.world.merged(), story.after);
    story.restart();
  }
}

TEST(CheckpointError, OnceWhereOldFilesAreNeededCostsNothing) {
  StoppingOs os;
  const StoppedStory::Kind kind{add_files, need_old_files};
  const uint64_t operations = StoppedStory(os, kind).stop_at(UINT64_MAX);
  for (uint64_t at = crash_start(); at < operations; at += crash_stride()) {
    SCOPED_TRACE("failed at " + std::to_string(at));
    StoppedStory story(os, kind);
    story.fail_at(at, EIO);
    check_kept(story);
    story.work(need_others);
    story.fail_at(at, EIO);
    check_kept(story);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// Whichever way the end takes, what the guest has closed takes no room then.
TEST(CheckpointError, AtTheEndNoOldFileIsLeft) {
  StoppingOs os;
  int ends = 0;
  bool has_failed = true;
  for (uint64_t at = crash_start(); has_failed; at += crash_stride()) {
    SCOPED_TRACE("failed at " + std::to_string(at));
    StoppedStory story(os, {add_files, need_old_files});
    story.checkpoint();
    story.work(close_held);
    os.reset();
    os.fail_at(at, EIO);
    const Status ended = story.world.device().write_back();
    has_failed = os.count() > at;
    os.reset();
    if (ended) {
      ASSERT_FALSE(std::filesystem::exists(story.world.path("work/ovl/kept")));
    }
    ends += ended && !story.world.reports.empty() ? 1 : 0;
    story.restart();
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  EXPECT_GT(ends, 0);  // by the whole tree
}

TEST(CheckpointError, KilledWhereOldFilesAreNeededNothingIsLost) {
  StoppingOs os;
  const StoppedStory::Kind kind{add_files, need_old_files};
  const uint64_t operations = StoppedStory(os, kind).stop_at(UINT64_MAX);
  for (uint64_t at = crash_start(); at < operations; at += crash_stride()) {
    SCOPED_TRACE("killed at " + std::to_string(at));
    StoppedStory story(os, kind);
    story.stop_at(at);
    story.restart();
    check_kept(story);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

// Fewer descriptors than files that are made anew: they cannot all be read by
// one that was opened before.
TEST(CheckpointError, AfterAnErrorFilesThatAreMadeAnewAreRead) {
  const DescriptorLimit few(256);
  StoppingOs os;
  const uint64_t operations =
      StoppedStory(os, {add_many_files, move_blocks}).stop_at(UINT64_MAX);
  for (uint64_t stop = operations - 5; stop > kManyFiles; stop -= 10) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    StoppedStory story(os, {add_many_files, move_blocks});
    story.stop_at(stop);
    ASSERT_THAT(blocks_in_error(story.world.device()), IsEmpty());
    ASSERT_THAT(CheckpointWorld::difference(story.after, story.world.shown()),
                IsEmpty());
    story.check_end();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace ovl
