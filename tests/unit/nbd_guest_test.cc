// SPDX-License-Identifier: BSD-3-Clause
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/ext_reader_fixture.h"
#include "tests/support/nbd_guest_script.h"

namespace ovl {
namespace {

using testing::ElementsAre;

TEST(NbdGuestScript, WordsAreSplitAtBlanksAndUnescaped) {
  const auto words = split_words("write  a\\040b\\134 \\012 ''");
  ASSERT_TRUE(words.has_value());
  EXPECT_THAT(*words, ElementsAre("write", "a b\\", "\n", ""));
}

TEST(NbdGuestScript, ABackslashNeedsThreeDigits) {
  EXPECT_FALSE(split_words("write \\12").has_value());
  EXPECT_FALSE(split_words("write \\999").has_value());
}

class NbdGuestScriptRun : public ExtReaderFixture {
 protected:
  /// The errno of the first line that fails, or 0.
  int run(const std::vector<std::string>& lines) {
    int code = 0;
    guest([&](GuestFs& fs) -> Status {
      for (const std::string& line : lines) {
        const Words words = OVL_TRY(split_words(line));
        const Status status = run_command(fs, words);
        if (!status.has_value() && code == 0)
          code = status.error().code();
      }
      return {};
    });
    return code;
  }
};

TEST_F(NbdGuestScriptRun, EveryCommandLeavesACleanFileSystem) {
  EXPECT_EQ(run({"mkdir n 755",
                 "create n/f 600",
                 "write n/f text",
                 "append n/f more",
                 "pwrite n/f 9000 far",
                 "punch n/f 0 1",
                 "truncate n/f 8000",
                 "chmod n/f 4711",
                 "chown n/f 70000 1",
                 "utimens n/f -5 7",
                 "chattr n/f =iA",
                 "setxattr n/f user.a 1",
                 "setxattr-hex n/f user.b 00ff",
                 "rmxattr n/f user.a",
                 "link n/f n/g",
                 "symlink t n/l",
                 "mknod n/c c 600 1 3",
                 "mknod n/p p 600",
                 "rename n/g d/g",
                 "rename d n/d",
                 "unlink a",
                 "rmdir empty",
                 "mkdir t 700",
                 "write t/x y",
                 "rmtree t"}),
            0);
  const Tree tree = read();
  EXPECT_EQ(id(tree, "n/d/g"), id(tree, "n/f"));
  EXPECT_EQ(at(tree, "n/f").mtime_sec, -5);
  EXPECT_EQ(id(tree, "t"), kNoNode);
}

TEST_F(NbdGuestScriptRun, RenameFollowsTheRules) {
  EXPECT_EQ(run({"rename deep deep/er/in"}), EINVAL);
  EXPECT_EQ(run({"rename a deep"}), EISDIR);
  EXPECT_EQ(run({"rename deep a"}), ENOTDIR);
  EXPECT_EQ(run({"rename d deep"}), ENOTEMPTY);
  EXPECT_EQ(run({"rename none deep"}), ENOENT);
  EXPECT_EQ(read().root, merged());
}

TEST_F(NbdGuestScriptRun, WhatIsNoCommandIsRefused) {
  EXPECT_EQ(run({"fly away"}), EINVAL);
  EXPECT_EQ(run({"mkdir only"}), EINVAL);
  EXPECT_EQ(run({"chmod a 9"}), EINVAL);
}

}  // namespace
}  // namespace ovl
