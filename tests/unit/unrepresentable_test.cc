// SPDX-License-Identifier: BSD-3-Clause
//
// An attribute that upper's file system cannot have: left out of upper and told
// of, or all is held back for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cerrno>

#include "tests/support/checkpoint_world.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A host whose file system has no attribute of that name.
class RefusingOs : public WrapOs {
 public:
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    if (name != "user.never")
      return WrapOs::set_xattr(at, name, value);
    ++refused;
    return system_error(code, "setxattr " + name);
  }
  int code = EOPNOTSUPP;
  int refused = 0;
};

class UnrepresentableTest : public ::testing::Test {
 protected:
  UnrepresentableTest() { world_.config().check_upper = false; }
  void start() {
    const Status opened = world_.open();
    ASSERT_TRUE(opened) << opened.error().what();
    ASSERT_TRUE(world_.guest([](GuestFs& fs) -> Status {
      OVL_TRY(fs.make_node("made", S_IFREG | 0644));
      for (const char* path : {"made", "b/a"}) {
        OVL_TRY(fs.set_xattr(path, "user.fine", "f"));
        OVL_TRY(fs.set_xattr(path, "user.never", "n"));
      }
      return fs.chmod("b/a", 0600);
    }));
  }
  bool upper_has(const std::string& path, const char* name) const {
    return ::lgetxattr(world_.path("upper/" + path).c_str(), name, nullptr,
                       0) >= 0;
  }

  RefusingOs os_;
  CheckpointWorld world_{os_};
};

TEST_F(UnrepresentableTest, ItIsLeftOutAndToldOfOnce) {
  start();
  const auto shown = world_.shown();
  ASSERT_TRUE(world_.device().checkpoint_now());
  for (const char* path : {"made", "b/a"}) {
    EXPECT_TRUE(upper_has(path, "user.fine"));
    EXPECT_FALSE(upper_has(path, "user.never"));
    EXPECT_THAT(world_.reports,
                Contains(AllOf(HasSubstr(std::string("upperdir: ") + path),
                               HasSubstr("user.never"))));
  }
  ASSERT_TRUE(world_.guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.set_xattr("made", "user.other", "o"));
    return fs.set_xattr("made", "user.never", "again");
  }));
  ASSERT_TRUE(world_.device().checkpoint_now());
  EXPECT_TRUE(upper_has("made", "user.other"));
  EXPECT_EQ(world_.reports.size(), 2U);
}

TEST_F(UnrepresentableTest, TheDeviceGoesOnShowingIt) {
  start();
  const auto shown = world_.shown();
  ASSERT_THAT(shown, Contains(HasSubstr("user.never")));
  ASSERT_TRUE(world_.device().checkpoint_now());
  EXPECT_THAT(world_.merged(), Not(Contains(HasSubstr("user.never"))));
  world_.kill();
  ASSERT_TRUE(world_.open());
  EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
  const Status ended = world_.end();
  ASSERT_TRUE(ended) << ended.error().what();
  ASSERT_TRUE(world_.open());
  EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
}

TEST_F(UnrepresentableTest, OrAllIsHeldBack) {
  world_.config().unrepresentable = Unrepresentable::Policy::kHold;
  start();
  const auto done = world_.device().checkpoint_now();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what(), HasSubstr("user.never"));
  EXPECT_FALSE(std::filesystem::exists(world_.path("upper/made")));
}

TEST_F(UnrepresentableTest, AnErrorThatPassesIsNone) {
  start();
  for (const int code : {EIO, EDQUOT, EROFS}) {
    os_.code = code;
    ASSERT_FALSE(world_.device().checkpoint_now());
  }
  EXPECT_THAT(world_.reports, IsEmpty());
  EXPECT_GE(os_.refused, 3);
}

}  // namespace
}  // namespace ovl
