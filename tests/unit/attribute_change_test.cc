// SPDX-License-Identifier: BSD-3-Clause
//
// What becomes of an object's attributes where there is not room for all.
#include "fsengine/overlay/attribute_change.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "fsengine/overlay/host_object.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kRedirect = "user.overlay.redirect";

// A host that has room for so many bytes of attributes on an object.
class CrampedOs : public WrapOs {
 public:
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    size_t bytes = name.size() + value.size();
    const XattrSet has = OVL_TRY(read_host_xattrs(at.dir, at.name));
    for (const Xattr& xattr : has)
      if (xattr.name != name)
        bytes += xattr.name.size() + xattr.value.size();
    return bytes <= room ? WrapOs::set_xattr(at, name, value)
                         : system_error(code, "setxattr " + name);
  }
  size_t room = 1000;
  int code = ENOSPC;
};

class AttributeChangeTest : public ::testing::Test {
 protected:
  AttributeChangeTest()
      : root_(::open(temp_.dir("root").c_str(), O_RDONLY | O_DIRECTORY)) {
    temp_.dir("root/dir");
  }
  Status apply(const XattrSet& set, Unrepresentable::Policy policy =
                                        Unrepresentable::Policy::kRecord) {
    Unrepresentable limits(
        policy, true, XattrFamily::kUser,
        [this](const std::string& line) { told.push_back(line); });
    AttributeChange change;
    change.set = set;
    return apply_attributes(os, at(), change,
                            {&limits, [] { return std::string("dir"); }});
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    const auto xattrs = read_host_xattrs(root_.get(), "dir");
    for (const Xattr& xattr : xattrs.value())
      names.push_back(xattr.name);
    return names;
  }
  At at() const { return {root_.get(), "dir"}; }

  CrampedOs os;
  std::vector<std::string> told;

 private:
  const TempDir temp_;
  const Fd root_;
};

TEST_F(AttributeChangeTest, TheTreesOwnComeFirst) {
  ASSERT_TRUE(apply({{"user.a", std::string(600, 'a')},
                     {"user.b", std::string(300, 'b')},
                     {kRedirect, std::string(500, '/')}}));
  EXPECT_THAT(names(), ElementsAre("user.b", kRedirect));
  EXPECT_THAT(told, ElementsAre(HasSubstr("dir: user.a")));
}

TEST_F(AttributeChangeTest, TheTreesOwnTakeTheRoomOfTheLargest) {
  ASSERT_TRUE(apply({{"user.a", std::string(100, 'a')},
                     {"user.b", std::string(600, 'b')},
                     {"user.c", std::string(200, 'c')}}));
  ASSERT_TRUE(apply({{kRedirect, std::string(500, '/')}}));
  EXPECT_THAT(names(), ElementsAre("user.a", "user.c", kRedirect));
  EXPECT_THAT(told, ElementsAre(HasSubstr("dir: user.b")));
}

TEST_F(AttributeChangeTest, TheTreesOwnAreNeverDoneWithout) {
  ASSERT_TRUE(apply({{"user.a", std::string(100, 'a')}}));
  const Status done = apply({{kRedirect, std::string(1000, '/')}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ENOSPC);
  EXPECT_THAT(told, SizeIs(1));
}

TEST_F(AttributeChangeTest, WhereAllIsHeldBackNothingGoes) {
  const auto hold = Unrepresentable::Policy::kHold;
  ASSERT_TRUE(apply({{"user.a", std::string(600, 'a')}}, hold));
  ASSERT_FALSE(apply({{kRedirect, std::string(500, '/')}}, hold));
  EXPECT_THAT(names(), ElementsAre("user.a"));
  EXPECT_THAT(told, IsEmpty());
}

// Of a guest that has overlays of its own.
TEST_F(AttributeChangeTest, ThoseOfTheOtherFamilyAreTheGuests) {
  os.code = EPERM;
  os.room = 10;
  ASSERT_TRUE(apply({{"trusted.overlay.opaque", "y"}}));
  EXPECT_THAT(told, ElementsAre(HasSubstr("dir: trusted.overlay.opaque")));
}

TEST_F(AttributeChangeTest, OverlayfssOwnGiveNoRoom) {
  ASSERT_TRUE(apply({{"user.overlay.origin", std::string(400, 'o')},
                     {"user.overlay.overlay.mine", std::string(300, 'g')},
                     {"user.a", std::string(100, 'a')}}));
  ASSERT_TRUE(apply({{kRedirect, std::string(300, '/')}}));
  EXPECT_THAT(names(), ElementsAre("user.a", "user.overlay.origin", kRedirect));
}

// An error that no room would mend, or one that passes.
TEST_F(AttributeChangeTest, NothingGoesForAnotherError) {
  ASSERT_TRUE(apply({{"user.a", std::string(600, 'a')}}));
  for (const int code : {EPERM, EOPNOTSUPP, EIO, EDQUOT}) {
    os.code = code;
    const Status done = apply({{kRedirect, std::string(500, '/')}});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), code);
  }
  EXPECT_THAT(names(), ElementsAre("user.a"));
  EXPECT_THAT(told, IsEmpty());
}

}  // namespace
}  // namespace ovl
