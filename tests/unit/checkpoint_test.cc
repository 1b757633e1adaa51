// SPDX-License-Identifier: BSD-3-Clause
//
// Checkpoints of a device while a guest is at work on it: after each, overlayfs
// would show what the guest sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>

#include "tests/support/checkpoint_world.h"
#include "tests/support/host_layers.h"
#include "tests/support/random_fs_ops.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class CheckpointTest : public ::testing::Test {
 protected:
  void open() {
    const Status opened = world_.open();
    ASSERT_TRUE(opened) << opened.error().what();
  }
  void guest(const std::function<Status(GuestFs&)>& work) {
    const Status worked = world_.guest(work);
    ASSERT_TRUE(worked) << worked.error().what();
  }
  void checkpoint() {
    const auto done = world_.device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_TRUE(*done);
    ASSERT_THAT(CheckpointWorld::difference(world_.shown(), world_.merged()),
                IsEmpty());
  }
  void end() {
    const auto shown = world_.shown();
    const Status ended = world_.end();
    ASSERT_TRUE(ended) << ended.error().what();
    ASSERT_THAT(CheckpointWorld::difference(shown, world_.merged()), IsEmpty());
    ASSERT_THAT(world_.reports, IsEmpty());
  }

  CheckpointWorld world_;
};

TEST_F(CheckpointTest, UpperFollowsTheGuest) {
  open();
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.mkdir("new", 0700));
    OVL_TRY(fs.make_node("new/file", S_IFREG | 0640));
    return fs.write("new/file", 0, bytes_of("first"));
  });
  checkpoint();
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.write("new/file", 0, bytes_of("second")));
    OVL_TRY(fs.rename("b", "new/b"));
    OVL_TRY(fs.remove_tree("d"));
    return fs.chmod("a", 0711);
  });
  checkpoint();
  checkpoint();
  end();
}

TEST_F(CheckpointTest, ARestartGoesOnFromTheCatalog) {
  open();
  guest([](GuestFs& fs) { return fs.rename("a", "moved"); });
  checkpoint();
  end();
  open();
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.write("moved/b", 0, bytes_of("changed")));
    return fs.link("moved/b", "b/linked");
  });
  checkpoint();
  world_.kill();
  open();
  ASSERT_THAT(CheckpointWorld::difference(world_.shown(), world_.merged()),
              IsEmpty());
  guest([](GuestFs& fs) { return fs.unlink("moved/b"); });
  checkpoint();
  end();
}

// Upper has what was committed; settled it is not, nor after a start that finds
// nothing new.
TEST_F(CheckpointTest, WhatIsNotUnmountedIsNotSettled) {
  open();
  guest([](GuestFs& fs) -> Status {
    fs.fs()->super->s_state &= static_cast<uint16_t>(~EXT2_VALID_FS);
    ext2fs_mark_super_dirty(fs.fs());
    return fs.mkdir("new", 0755);
  });
  checkpoint();
  for (int restart = 0; restart < 2; ++restart) {
    const Status ended = world_.end();
    ASSERT_FALSE(ended);
    EXPECT_THAT(ended.error().what(), HasSubstr("clean"));
    world_.kill();
    open();
    ASSERT_THAT(CheckpointWorld::difference(world_.shown(), world_.merged()),
                IsEmpty());
  }
  guest([](GuestFs& fs) -> Status {
    fs.fs()->super->s_state |= EXT2_VALID_FS;
    ext2fs_mark_super_dirty(fs.fs());
    return fs.rmdir("new");
  });
  end();
}

TEST_F(CheckpointTest, UnderSyncWhatIsFlushedIsInUpper) {
  world_.config().sync_checkpoints = true;
  open();
  ASSERT_TRUE(world_.device().start());
  for (const char* name : {"one", "two", "three"}) {
    guest([&](GuestFs& fs) { return fs.mkdir(name, 0755); });
    ASSERT_THAT(CheckpointWorld::difference(world_.shown(), world_.merged()),
                IsEmpty());
  }
  end();
}

TEST_F(CheckpointTest, UnderSyncAnUpperThatWasNotEmptyFollows) {
  world_.config().sync_checkpoints = true;
  std::ofstream(world_.path("upper/there")) << "before";
  open();
  ASSERT_TRUE(world_.device().start());
  guest([](GuestFs& fs) { return fs.unlink("there"); });
  EXPECT_FALSE(std::filesystem::exists(world_.path("upper/there")));
  end();
}

// Not where the guest's permissions may bar the server, which is told.
TEST_F(CheckpointTest, UnderSyncNotWhereThePermissionsOfTheGuestMayBarUs) {
  world_.config().sync_checkpoints = true;
  world_.config().unrepresentable = Unrepresentable::Policy::kHold;
  std::ofstream(world_.path("upper/there")) << "before";
  open();
  if (!is_privileged()) {
    EXPECT_THAT(world_.reports, ElementsAre(HasSubstr("checkpoint=sync: ")));
  }
  ASSERT_TRUE(world_.device().start());
  guest([](GuestFs& fs) { return fs.mkdir("new", 0755); });
  EXPECT_EQ(std::filesystem::exists(world_.path("upper/new")), is_privileged());
  const auto shown = world_.shown();
  ASSERT_TRUE(world_.end());
  EXPECT_THAT(CheckpointWorld::difference(shown, world_.merged()), IsEmpty());
}

// A checkpoint that fails does not keep a request for ever.
TEST_F(CheckpointTest, UnderSyncAFailedCheckpointLetsTheGuestGoOn) {
  world_.config().sync_checkpoints = true;
  open();
  ASSERT_TRUE(world_.device().start());
  guest([](GuestFs& fs) { return fs.make_node("file", S_IFREG | 0600); });
  std::filesystem::remove(world_.path("upper/file"));
  guest([](GuestFs& fs) { return fs.write("file", 0, bytes_of("more")); });
  guest([](GuestFs& fs) { return fs.write("file", 4, bytes_of("still")); });
  EXPECT_THAT(world_.reports, ElementsAre(HasSubstr("checkpoint: ")));
}

TEST_F(CheckpointTest, WhatSomebodyElsePutIntoUpperIsNotTakenForOurs) {
  open();
  guest([](GuestFs& fs) { return fs.make_node("file", S_IFREG | 0600); });
  checkpoint();
  const auto time = std::filesystem::last_write_time(world_.path("upper"));
  std::ofstream(world_.path("upper/foreign")) << "foreign";
  guest([](GuestFs& fs) { return fs.chmod("b/a", 0600); });
  const Status ended = world_.end();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().what(),
              HasSubstr("upperdir: foreign: changed by somebody else"));
  world_.kill();
  const Status opened = world_.open();
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what(), HasSubstr("foreign"));
  std::filesystem::remove(world_.path("upper/foreign"));
  std::filesystem::last_write_time(world_.path("upper"), time);
  open();
  end();
}

TEST_F(CheckpointTest, NorWhatCameBeforeTheFirstCheckpointAfterAKill) {
  open();
  guest([](GuestFs& fs) { return fs.make_node("file", S_IFREG | 0600); });
  checkpoint();
  world_.kill();
  open();
  std::ofstream(world_.path("upper/foreign")) << "foreign";
  const auto done = world_.device().checkpoint_now();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what(), HasSubstr("foreign"));
  const Status ended = world_.end();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().what(), HasSubstr("foreign"));
}

// nbdkit -r: nobody makes checkpoints, and nobody waits for one.
TEST_F(CheckpointTest, UnderSyncAFlushOfAReaderDoesNotWait) {
  open();
  guest([](GuestFs& fs) { return fs.make_node("file", S_IFREG | 0600); });
  world_.kill();
  world_.config().sync_checkpoints = true;
  open();
  ASSERT_TRUE(world_.device().start());
  EXPECT_TRUE(world_.device().flush());
  EXPECT_FALSE(std::filesystem::exists(world_.path("upper/file")));
}

TEST_F(CheckpointTest, AnObjectOfUpperThatWasReplacedStopsCheckpoints) {
  open();
  guest([](GuestFs& fs) { return fs.make_node("file", S_IFREG | 0600); });
  checkpoint();
  const auto time = std::filesystem::last_write_time(world_.path("upper"));
  std::filesystem::rename(world_.path("upper/file"), world_.path("aside"));
  std::ofstream(world_.path("upper/file")) << "foreign";
  guest([](GuestFs& fs) { return fs.write("file", 0, bytes_of("ours")); });
  const auto shown = world_.shown();
  const auto done = world_.device().checkpoint_now();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ESTALE);
  EXPECT_THAT(done.error().what(), HasSubstr("file"));
  EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
  std::filesystem::rename(world_.path("aside"), world_.path("upper/file"));
  std::filesystem::last_write_time(world_.path("upper"), time);
  checkpoint();
  end();
}

TEST_F(CheckpointTest, TheCheckAtTheEndFindsAndMendsADifference) {
  open();
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("file", S_IFREG | 0600));
    return fs.write("file", 0, bytes_of("ours"));
  });
  checkpoint();
  std::filesystem::permissions(world_.path("upper/file"),
                               std::filesystem::perms::all);
  const auto shown = world_.shown();
  const Status ended = world_.end();
  ASSERT_TRUE(ended) << ended.error().what();
  EXPECT_THAT(world_.reports, ElementsAre(HasSubstr("file: is not what")));
  EXPECT_THAT(CheckpointWorld::difference(shown, world_.merged()), IsEmpty());
}

TEST_F(CheckpointTest, RandomWorkAndKills) {
  for (const uint64_t seed : random_seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    CheckpointWorld world(host_os(), seed % 3 != 0
                                         ? CheckpointWorld::Upper::kFilled
                                         : CheckpointWorld::Upper::kEmpty);
    world.config().check_upper = seed % 2 == 0;
    for (int round = 0; round < 12; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      if (!world.is_open()) {
        const Status opened = world.open();
        ASSERT_TRUE(opened) << opened.error().what();
      }
      const Status worked = world.guest([&](GuestFs& fs) -> Status {
        RandomOps ops(fs, random);
        for (uint64_t i = random() % 40; i > 0; --i)
          OVL_TRY(ops.one());
        return {};
      });
      ASSERT_TRUE(worked) << worked.error().what();
      const auto shown = world.shown();
      const uint64_t dice = random() % 8;
      if (dice < 6) {
        const auto done = world.device().checkpoint_now();
        ASSERT_TRUE(done) << done.error().what();
        ASSERT_TRUE(*done);
        ASSERT_THAT(CheckpointWorld::difference(shown, world.merged()),
                    IsEmpty());
      }
      if (dice >= 4 && dice < 7)
        world.kill();
      if (dice == 7) {
        const Status ended = world.end();
        ASSERT_TRUE(ended) << ended.error().what();
        ASSERT_THAT(CheckpointWorld::difference(shown, world.merged()),
                    IsEmpty());
      }
      ASSERT_THAT(world.reports, IsEmpty());
    }
  }
}

}  // namespace
}  // namespace ovl
