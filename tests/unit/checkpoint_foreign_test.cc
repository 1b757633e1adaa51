// SPDX-License-Identifier: BSD-3-Clause
//
// Somebody else changes upper while a device writes to it: what he made there
// stays, and an error has its path.
#include <sys/stat.h>

#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/checkpoint_world.h"

namespace ovl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class CheckpointForeignTest : public ::testing::Test {
 protected:
  /// A guest has made a directory and a file in it, and upper shows them.
  void start() {
    ASSERT_TRUE(world_.open());
    ASSERT_TRUE(world_.guest([](GuestFs& fs) -> Status {
      OVL_TRY(fs.mkdir("t", 0755));
      OVL_TRY(fs.make_node("t/file", S_IFREG | 0600));
      return fs.write("t/file", 0, bytes_of(std::string(9000, 'g')));
    }));
    ASSERT_TRUE(world_.device().checkpoint_now());
    time_ = fs::last_write_time(upper("t"));
  }
  // A whole block: of others it would read what is not there.
  void guest_writes(const std::string& path) {
    ASSERT_TRUE(world_.guest([&](GuestFs& fs) -> Status {
      if (path != "t/file")
        OVL_TRY(fs.make_node(path, S_IFREG | 0600));
      return fs.write(path, 0, bytes_of(std::string(kBlockSize, 'o')));
    }));
  }
  void put(const std::string& path, const std::string& content) const {
    std::ofstream(upper(path)) << content;
  }
  std::string content(const std::string& path) const {
    std::ifstream file(upper(path));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string upper(const std::string& path) const {
    return world_.path("upper/" + path);
  }
  /// Neither a checkpoint nor the end takes it.
  void expect_refused(const std::string& path) {
    const auto done = world_.device().checkpoint_now();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ESTALE);
    EXPECT_THAT(done.error().what(), HasSubstr("upperdir: " + path + ": "));
    const Status ended = world_.end();
    ASSERT_FALSE(ended);
    EXPECT_THAT(ended.error().what(), HasSubstr("upperdir: " + path + ": "));
  }
  /// It was undone: all goes on.
  void expect_end() {
    fs::last_write_time(upper("t"), time_);
    world_.kill();
    const Status opened = world_.open();
    ASSERT_TRUE(opened) << opened.error().what();
    const auto shown = world_.shown();
    const Status ended = world_.end();
    ASSERT_TRUE(ended) << ended.error().what();
    EXPECT_THAT(CheckpointWorld::difference(shown, world_.merged()), IsEmpty());
  }

  CheckpointWorld world_;
  fs::file_time_type time_;
};

TEST_F(CheckpointForeignTest, WhatIsAddedUnderANameOfTheGuestStays) {
  start();
  put("t/new", "foreign");
  guest_writes("t/new");
  expect_refused("t/new");
  EXPECT_EQ(content("t/new"), "foreign");
  fs::remove(upper("t/new"));
  expect_end();
}

TEST_F(CheckpointForeignTest, WhatReplacesAFileStays) {
  start();
  fs::rename(upper("t/file"), world_.path("aside"));
  put("t/file", "foreign");
  guest_writes("t/file");
  expect_refused("t/file");
  EXPECT_EQ(content("t/file"), "foreign");
  fs::rename(world_.path("aside"), upper("t/file"));
  expect_end();
}

TEST_F(CheckpointForeignTest, WhatIsRemovedIsNotMadeAnew) {
  start();
  fs::rename(upper("t/file"), world_.path("aside"));
  guest_writes("t/file");
  expect_refused("t/file");
  EXPECT_FALSE(fs::exists(upper("t/file")));
  fs::rename(world_.path("aside"), upper("t/file"));
  expect_end();
}

// A guest's few blocks do not go into the middle of it.
TEST_F(CheckpointForeignTest, WhatIsWrittenInPlaceStays) {
  start();
  const auto time = fs::last_write_time(upper("t/file"));
  const std::string before = content("t/file");
  put("t/file", std::string(9000, 'x'));
  guest_writes("t/file");
  expect_refused("t/file");
  EXPECT_EQ(content("t/file"), std::string(9000, 'x'));
  put("t/file", before);
  fs::last_write_time(upper("t/file"), time);
  expect_end();
}

// Its directory is one that a checkpoint made, so that upper's record does not
// tell of what is in it.
TEST_F(CheckpointForeignTest, WhatIsAddedAfterAKillStays) {
  start();
  world_.kill();
  put("t/foreign", "foreign");
  ASSERT_TRUE(world_.open());
  expect_refused("t/foreign");
  EXPECT_EQ(content("t/foreign"), "foreign");
  world_.kill();
  ASSERT_TRUE(world_.open()) << "it is still there";
  world_.kill();
  fs::remove(upper("t/foreign"));
  expect_end();
}

// A checkpoint gave it other permissions, so upper's record does not tell of
// it; its bytes are a lower's.
TEST_F(CheckpointForeignTest, WhatReplacesAFileAfterAKillStays) {
  start();
  ASSERT_TRUE(world_.guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.chmod("b/a", 0600));
    return fs.rename("b/d/c", "t/moved");
  }));
  ASSERT_TRUE(world_.device().checkpoint_now());
  for (const char* path : {"b/a", "t/moved"}) {
    world_.kill();
    const auto time = fs::last_write_time(fs::path(upper(path)).parent_path());
    fs::rename(upper(path), world_.path("aside"));
    put(path, "foreign");
    ASSERT_TRUE(world_.open());
    guest_writes("t/file");
    expect_refused(path);
    EXPECT_EQ(content(path), "foreign");
    fs::rename(world_.path("aside"), upper(path));
    fs::last_write_time(fs::path(upper(path)).parent_path(), time);
  }
  expect_end();
}

// What is recorded of t/file is from before; since then it was changed, each
// time under a name that comes first and that it had for a while only.
TEST_F(CheckpointForeignTest, WhatWasOursUnderANameForAWhileIsOurs) {
  start();
  ASSERT_TRUE(world_.end());
  ASSERT_TRUE(world_.open());
  const auto between = [&](const std::function<Status(GuestFs&)>& change) {
    for (const auto& work : std::vector<std::function<Status(GuestFs&)>>{
             [](GuestFs& fs) { return fs.link("t/file", "0"); }, change,
             [](GuestFs& fs) { return fs.unlink("0"); }}) {
      const Status worked = world_.guest(work);
      ASSERT_TRUE(worked) << worked.error().what();
      ASSERT_TRUE(world_.device().checkpoint_now());
    }
  };
  between([](GuestFs& fs) {
    return fs.write("t/file", 0, bytes_of(std::string(kBlockSize, 'o')));
  });
  between([](GuestFs& fs) { return fs.chmod("t/file", 0640); });
  expect_end();
}

TEST_F(CheckpointForeignTest, WhatIsAddedStaysAtAnEndWithoutCheckpoints) {
  world_.config().checkpoint.reset();
  put("old", "in upper before");
  ASSERT_TRUE(world_.open());
  guest_writes("first");
  EXPECT_FALSE(world_.device().checkpoint_now());  // but the layout is kept
  put("foreign", "foreign");
  const Status ended = world_.end();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().what(), HasSubstr("upperdir: foreign: "));
  EXPECT_EQ(content("foreign"), "foreign");
}

}  // namespace
}  // namespace ovl
