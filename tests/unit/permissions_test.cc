// SPDX-License-Identifier: BSD-3-Clause
//
// A guest gives its directories and files permissions that bar the owner, too:
// for a server without privilege they are in the way. With privilege the same
// stories hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/checkpoint_world.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PermissionsTest : public ::testing::Test {
 protected:
  PermissionsTest() { world_.config().check_upper = false; }

  void open() {
    const Status opened = world_.open();
    ASSERT_TRUE(opened) << opened.error().what();
  }
  void work(const std::function<Status(GuestFs&)>& what) {
    const Status worked = world_.guest(what);
    ASSERT_TRUE(worked) << worked.error().what();
    const auto done = world_.device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_TRUE(*done);
  }
  void restart() {
    const auto shown = world_.shown();
    world_.kill();
    open();
    EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
  }

  // As a host may have left it.
  void fill() {
    std::filesystem::create_directories(world_.path("upper/f/g"));
    for (const char* name : {"file", "other"})
      std::ofstream(world_.path("upper/f/g/") + name)
          << std::string(9000, *name);
  }
  void end() {
    const auto shown = world_.shown();
    const Status ended = world_.end();
    ASSERT_TRUE(ended) << ended.error().what();
    open();
    EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
  }
  CheckpointWorld::Lines difference() const {
    return CheckpointWorld::difference(world_.shown(), world_.merged());
  }

  CheckpointWorld world_;
};

Status make(GuestFs& fs, const std::string& path, char letter) {
  const std::string text(9000, letter);
  OVL_TRY(fs.make_node(path, S_IFREG | 0644));
  return fs.write(path, 0, std::as_bytes(std::span(text)));
}

TEST_F(PermissionsTest, WhatIsBelowGoesOnToChange) {
  open();
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.mkdir("m", 0755));
    OVL_TRY(fs.mkdir("m/n", 0755));
    return make(fs, "m/n/file", 'f');
  });
  work([](GuestFs& fs) { return fs.chmod("m", 0); });
  work([](GuestFs& fs) { return make(fs, "m/n/new", 'n'); });
  work([](GuestFs& fs) { return fs.truncate("m/n/file", 100); });
  restart();
  work([](GuestFs& fs) { return fs.rename("m/n/file", "m/n/moved"); });
  work([](GuestFs& fs) { return fs.rename("m/n", "m/o"); });
  work([](GuestFs& fs) { return fs.rename("m/o", "o"); });
  work([](GuestFs& fs) { return fs.chmod("o/new", 0); });
  work([](GuestFs& fs) { return fs.truncate("o/new", 5000); });
  work([](GuestFs& fs) { return fs.rename("m", "o/m"); });
  work([](GuestFs& fs) { return fs.chmod("", 0); });
  work([](GuestFs& fs) { return fs.mkdir("last", 0); });
  end();
}

TEST_F(PermissionsTest, WhatUpperHadMayBeBarredToo) {
  fill();
  open();
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.chmod("f/g/file", 0));
    OVL_TRY(fs.chmod("f/g", 0));
    return fs.chmod("f", 0);
  });
  restart();
  work([](GuestFs& fs) { return fs.truncate("f/g/file", 5000); });
  work([](GuestFs& fs) { return fs.rename("f/g/other", "b/other"); });
  restart();
  work([](GuestFs& fs) { return fs.unlink_in_use("f/g/file"); });
  work([](GuestFs& fs) { return fs.remove_tree("f"); });
  end();
}

// The owner of a file may not set attributes of users when he may not write.
TEST_F(PermissionsTest, AttributesOfWhatIsReadOnly) {
  fill();
  open();
  work([](GuestFs& fs) -> Status {
    OVL_TRY(make(fs, "file", 'f'));
    OVL_TRY(fs.mkdir("dir", 0555));
    for (const char* path : {"file", "dir", "f/g/file", "f/g", "c"}) {
      OVL_TRY(fs.set_xattr(path, "user.k", "v"));
      OVL_TRY(fs.chmod(path, 0555));
    }
    return {};
  });
  EXPECT_THAT(difference(), IsEmpty());
  work([](GuestFs& fs) -> Status {
    for (const char* path : {"file", "dir", "f/g/file", "f/g", "c"})
      OVL_TRY(fs.set_xattr(path, "user.k", "other"));
    return fs.remove_xattr("file", "user.k");
  });
  EXPECT_THAT(difference(), IsEmpty());
  work([](GuestFs& fs) { return fs.set_flags("file", EXT2_IMMUTABLE_FL); });
  EXPECT_THAT(difference(), IsEmpty());
  EXPECT_THAT(world_.reports, IsEmpty());
  end();
}

// Upper gets what it can have; the device shows what the guest gave.
TEST_F(PermissionsTest, WhatBarsTheServerIsToldOfOnce) {
  open();
  work([](GuestFs& fs) -> Status {
    OVL_TRY(make(fs, "shadow", 's'));
    return fs.chmod("shadow", 0);
  });
  work([](GuestFs& fs) { return fs.truncate("shadow", 100); });
  struct stat st {};
  ASSERT_EQ(::stat(world_.path("upper/shadow").c_str(), &st), 0);
  if (is_privileged()) {
    EXPECT_EQ(st.st_mode & 07777, 0U);
    EXPECT_THAT(world_.reports, IsEmpty());
  } else {
    EXPECT_EQ(st.st_mode & 07777, 0400U);
    EXPECT_THAT(world_.reports,
                ElementsAre(HasSubstr("upperdir: shadow: permissions")));
  }
  restart();
}

}  // namespace
}  // namespace ovl
