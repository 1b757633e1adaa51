// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ovl {
namespace {

Result<int> doubled(Result<int> input) {
  const int value = OVL_TRY(std::move(input));
  return 2 * value;
}

TEST(ResultTest, TryYieldsTheValueOrReturnsTheError) {
  EXPECT_EQ(*doubled(21), 42);
  const auto failed = doubled(fail(EIO, "no"));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), EIO);
}

TEST(ResultTest, ContextComesOutermostFirst) {
  const auto failed = doubled(system_error(ENOSPC, "fsync")).in("f").in("d");
  EXPECT_EQ(failed.error().what(), "d: f: fsync: No space left on device");
}

TEST(ResultTest, ANameCannotBreakTheLineOfALog) {
  EXPECT_EQ(one_line("a\nb\x1b[0m\x7f"), "a\\012b\\033[0m\\177");
  EXPECT_EQ(one_line("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

}  // namespace
}  // namespace ovl
