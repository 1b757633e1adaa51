// SPDX-License-Identifier: BSD-3-Clause
//
// Objects that upper's file system cannot have: nodes without privilege, long
// symlinks. The device shows them, upper lacks them, and everything else
// reaches it, now and after any number of starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "tests/support/checkpoint_world.h"
#include "tests/support/host_layers.h"
#include "tests/support/random_fs_ops.h"
#include "tests/support/stopping_os.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Lines = CheckpointWorld::Lines;

// A host that makes no FIFOs, and no symlinks to "to 1".
class PoorOs : public StoppingOs {
 public:
  Status make_node(const At& at, uint32_t mode, DeviceNo rdev) override {
    if (S_ISFIFO(mode) && !is_rich)
      return system_error(EPERM, "mknod");
    return StoppingOs::make_node(at, mode, rdev);
  }
  Status make_symlink(const At& at, const std::string& to) override {
    if (to == "to 1" && !is_rich)
      return system_error(ENAMETOOLONG, "symlink");
    return StoppingOs::make_symlink(at, to);
  }
  bool is_rich = false;
};

bool is_possible(const std::string& line) {
  return line.find(" p ") == line.npos && line.find(" to\\0401 ") == line.npos;
}

// Upper's share of what the guest sees.
Lines possible(Lines lines) {
  std::erase_if(lines, [](const auto& line) { return !is_possible(line); });
  return lines;
}

class AbsentObjectsTest : public ::testing::Test {
 protected:
  AbsentObjectsTest() {
    world_.config().check_upper = false;
    std::filesystem::create_directories(world_.path("lower/f"));
    EXPECT_EQ(::mkfifo(world_.path("lower/f/fifo").c_str(), 0600), 0);
    must(world_.open());
  }

  void must(const Status& status) {
    ASSERT_TRUE(status) << status.error().what();
  }
  void work(const std::function<Status(GuestFs&)>& what) {
    must(world_.guest(what));
  }
  void checkpoint() {
    const auto done = world_.device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_TRUE(*done);
  }
  void restart() {
    const Lines shown = world_.shown();
    world_.kill();
    must(world_.open());
    EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
  }
  void end() {
    must(world_.end());
    must(world_.open());
  }
  Lines missing() const {
    return CheckpointWorld::difference(world_.shown(), world_.merged());
  }
  bool keeps_a_list() const {
    return std::filesystem::exists(world_.path("work/ovl/absent"));
  }

  PoorOs os_;
  CheckpointWorld world_{os_};
};

Status make_some(GuestFs& fs) {
  OVL_TRY(fs.mkdir("m", 0755));
  OVL_TRY(fs.make_node("m/fifo", S_IFIFO | 0600));
  OVL_TRY(fs.symlink("to 1", "m/long"));
  return fs.make_node("m/file", S_IFREG | 0644);
}

TEST_F(AbsentObjectsTest, TheRestReachesUpper) {
  work(make_some);
  checkpoint();
  EXPECT_THAT(missing(),
              ElementsAre(StartsWith("- /m/fifo"), StartsWith("- /m/long")));
  EXPECT_THAT(world_.reports,
              ElementsAre(HasSubstr("upperdir: m/fifo: a node like this"),
                          HasSubstr("upperdir: m/long: a symlink like this")));
  work([](GuestFs& fs) { return fs.chmod("m/fifo", 0644); });
  checkpoint();
  EXPECT_EQ(world_.reports.size(), 2U);
}

TEST_F(AbsentObjectsTest, ALowersNameIsHidden) {
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("b/a"));
    OVL_TRY(fs.make_node("b/a", S_IFIFO | 0600));
    OVL_TRY(fs.remove_tree("a"));
    return fs.symlink("to 1", "a");
  });
  checkpoint();
  EXPECT_THAT(missing(),
              ElementsAre(StartsWith("- /a "), StartsWith("- /b/a")));
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.rename("b/a", "b/other"));
    return fs.unlink("a");
  });
  checkpoint();
  EXPECT_THAT(missing(), ElementsAre(StartsWith("- /b/other")));
}

TEST_F(AbsentObjectsTest, WhatUpperHadIsHiddenToo) {
  work([](GuestFs& fs) { return fs.write("b/a", 0, {}); });
  work([](GuestFs& fs) { return fs.mkdir("n", 0755); });
  checkpoint();
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("b/a"));
    OVL_TRY(fs.make_node("b/a", S_IFIFO | 0600));
    OVL_TRY(fs.rmdir("n"));
    return fs.make_node("n", S_IFIFO | 0600);
  });
  checkpoint();
  EXPECT_THAT(missing(), ElementsAre(StartsWith("- /b/a"), StartsWith("- /n")));
}

// Better with the old permissions than not at all.
TEST_F(AbsentObjectsTest, ALowersNodeShowsAsItWas) {
  work([](GuestFs& fs) { return fs.chmod("f/fifo", 0644); });
  checkpoint();
  EXPECT_THAT(missing(), ElementsAre(StartsWith("- /f/fifo p 0644"),
                                     StartsWith("+ /f/fifo p 0600")));
  restart();
  work([](GuestFs& fs) { return fs.link("f/fifo", "f/second"); });
  checkpoint();
  EXPECT_THAT(missing(), Contains(StartsWith("- /f/second")));
  work([](GuestFs& fs) { return fs.unlink("f/fifo"); });
  checkpoint();
  EXPECT_THAT(missing(), ElementsAre(StartsWith("- /f/second")));
}

TEST_F(AbsentObjectsTest, TheyMoveWithTheirDirectory) {
  for (const bool redirect : {true, false}) {
    world_.config().redirect_dir = redirect;
    restart();
    const std::string to = redirect ? "once" : "twice";
    work([&](GuestFs& fs) -> Status {
      OVL_TRY(fs.make_node("d/" + to, S_IFIFO | 0600));
      return fs.rename("b", to);
    });
    checkpoint();
    EXPECT_THAT(missing(), Each(StartsWith("- /d/")));
    work([&](GuestFs& fs) -> Status {
      OVL_TRY(fs.make_node(to + "/fifo", S_IFIFO | 0600));
      return fs.rename(to, "b");
    });
    checkpoint();
    work([](GuestFs& fs) { return fs.rename("b/fifo", "b/d/fifo"); });
    checkpoint();
    EXPECT_THAT(missing(), Contains(StartsWith("- /b/d/fifo")));
    work([](GuestFs& fs) { return fs.unlink("b/d/fifo"); });
  }
}

TEST_F(AbsentObjectsTest, TheNextRunsKnow) {
  work(make_some);
  checkpoint();
  const Lines lacking = missing();
  restart();
  work([](GuestFs& fs) { return fs.write("m/file", 0, {}); });
  checkpoint();
  EXPECT_THAT(missing(), Contains(lacking[0]));
  end();
  restart();
  work([](GuestFs& fs) { return fs.rename("m", "n"); });
  checkpoint();
  EXPECT_THAT(missing(),
              ElementsAre(StartsWith("- /n/fifo"), StartsWith("- /n/long")));
}

TEST_F(AbsentObjectsTest, OnesThatAreGoneAreForgotten) {
  work(make_some);
  checkpoint();
  ASSERT_TRUE(keeps_a_list());
  work([](GuestFs& fs) { return fs.unlink("m/long"); });
  checkpoint();
  EXPECT_TRUE(keeps_a_list());
  work([](GuestFs& fs) { return fs.remove_tree("m"); });
  checkpoint();
  EXPECT_FALSE(keeps_a_list());
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(AbsentObjectsTest, TheWholeTreesWriterDoesTheSame) {
  world_.config().checkpoint = std::nullopt;
  restart();
  work(make_some);
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("b/a"));
    OVL_TRY(fs.make_node("b/a", S_IFIFO | 0600));
    return fs.chmod("f/fifo", 0644);
  });
  end();
  const Lines lacking = missing();
  EXPECT_THAT(lacking,
              ElementsAre(StartsWith("- /b/a"), StartsWith("- /f/fifo p 0644"),
                          StartsWith("- /m/fifo"), StartsWith("- /m/long"),
                          StartsWith("+ /f/fifo p 0600")));
  world_.config().checkpoint = std::chrono::seconds(5);
  work([](GuestFs& fs) { return fs.unlink("m/long"); });
  end();
  world_.config().checkpoint = std::nullopt;
  restart();
  work([](GuestFs& fs) { return fs.unlink("m/fifo"); });
  end();
  EXPECT_EQ(missing().size(), 3U);
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("b/a"));
    return fs.chmod("f/fifo", 0600);
  });
  end();
  EXPECT_FALSE(keeps_a_list());
}

TEST_F(AbsentObjectsTest, OthersThatAreMissingAreNoticed) {
  work(make_some);
  checkpoint();
  world_.kill();
  std::filesystem::remove(world_.path("upper/m/file"));
  const Status opened = world_.open();
  if (opened) {
    work([](GuestFs& fs) { return fs.chmod("c", 0600); });
    const auto done = world_.device().checkpoint_now();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ESTALE);
  } else {
    EXPECT_EQ(opened.error().code(), ESTALE);
  }
}

TEST_F(AbsentObjectsTest, NothingIsLostWhenUpperWasChanged) {
  work(make_some);
  must(world_.end());
  std::filesystem::create_directory(world_.path("upper/foreign"));
  const Status refused = world_.open();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what(),
              HasSubstr("objects that upperdir cannot have"));
  std::filesystem::remove(world_.path("upper/foreign"));
  world_.config().relayout = true;
  must(world_.open());
  EXPECT_THAT(world_.reports, Contains(HasSubstr("are given up: 2")));
  EXPECT_FALSE(keeps_a_list());
  EXPECT_THAT(missing(), IsEmpty());
}

TEST_F(AbsentObjectsTest, OrAllIsHeldBack) {
  world_.config().unrepresentable = Unrepresentable::Policy::kHold;
  restart();
  work(make_some);
  const auto done = world_.device().checkpoint_now();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what(), HasSubstr("m/fifo"));
  EXPECT_FALSE(std::filesystem::exists(world_.path("upper/m")));
}

// One that lies in the list and can be made by now is no trouble.
TEST_F(AbsentObjectsTest, StoppedAnywhereUpperIsACommittedState) {
  bool was_stopped = true;
  for (uint64_t stop = 0; was_stopped; ++stop) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    PoorOs os;
    CheckpointWorld world(os);
    world.config().check_upper = false;
    must(world.open());
    must(world.guest(make_some));
    ASSERT_TRUE(world.device().checkpoint_now());
    const Lines before = world.merged();
    must(world.guest([](GuestFs& fs) -> Status {
      OVL_TRY(fs.unlink("m/fifo"));
      OVL_TRY(fs.unlink("b/a"));
      return fs.make_node("b/a", S_IFIFO | 0600);
    }));
    const Lines after = world.shown();
    os.reset();
    os.stop_at(stop);
    (void)world.device().checkpoint_now();
    was_stopped = os.count() > stop;
    os.reset();
    os.is_rich = stop % 2 == 1;
    world.kill();
    must(world.open());
    ASSERT_THAT(world.merged(), AnyOf(before, possible(after)));
    ASSERT_THAT(CheckpointWorld::difference(after, world.shown()), IsEmpty());
    must(world.device().flush());
    const auto done = world.device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_TRUE(*done);
    ASSERT_THAT(possible(world.merged()), possible(after));
    must(world.guest([](GuestFs& fs) { return fs.chmod("b/a", 0644); }));
    must(world.end());
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST(AbsentObjectsRandomTest, RandomWorkAndKills) {
  for (const uint64_t seed : random_seeds(8)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    PoorOs os;
    CheckpointWorld world(os);
    world.config().check_upper = false;
    world.config().redirect_dir = seed % 2 == 0;
    for (int round = 0; round < 16; ++round) {
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
      const Lines shown = world.shown();
      const uint64_t dice = random() % 8;
      if (dice < 6) {
        ASSERT_TRUE(world.device().checkpoint_now());
      }
      if (dice >= 4 && dice < 7)
        world.kill();
      if (dice == 7) {
        ASSERT_TRUE(world.end());
      }
      if (dice == 6)
        continue;
      ASSERT_THAT(CheckpointWorld::difference(possible(shown), world.merged()),
                  IsEmpty());
    }
  }
}

}  // namespace
}  // namespace ovl
