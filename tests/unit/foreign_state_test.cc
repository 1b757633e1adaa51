// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/foreign_state.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "fsengine/base/fd.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ForeignStateTest : public ::testing::Test {
 protected:
  ForeignStateTest() { temp_.dir("w"); }

  std::string refusal() const {
    const Fd work(::open(temp_.path("w").c_str(), O_RDONLY | O_DIRECTORY));
    const Status status = refuse_foreign_state(work.get(), "workdir: W");
    return status ? "" : status.error().what();
  }

  TempDir temp_;
};

TEST_F(ForeignStateTest, WhatAnOrdinaryMountLeavesIsNoObstacle) {
  EXPECT_EQ(refusal(), "");
  temp_.dir("w/work");
  temp_.dir("w/index");
  EXPECT_EQ(refusal(), "");
  temp_.dir("w/work/incompat");
  std::ofstream(temp_.path("w/work/#12")) << "";
  EXPECT_EQ(refusal(), "");
}

TEST_F(ForeignStateTest, AnIndexWithEntriesIsRefusedAndTellsHowToGoOn) {
  temp_.dir("w/index");
  std::ofstream(temp_.path("w/index/00fb1d00")) << "";
  EXPECT_THAT(refusal(),
              AllOf(StartsWith("workdir: W/index: not empty"),
                    HasSubstr("index=on"), HasSubstr("to go on, remove it")));
}

TEST_F(ForeignStateTest, AVolatileMountIsRefusedAndTellsHowToGoOn) {
  temp_.dir("w/work/incompat/volatile");
  EXPECT_THAT(refusal(), AllOf(StartsWith("workdir: W/work/incompat/volatile:"),
                               HasSubstr("to go on"), HasSubstr("remove")));
}

TEST_F(ForeignStateTest, AnyOtherEntryInIncompatIsRefusedByItsName) {
  temp_.dir("w/work/incompat/of-the-future");
  EXPECT_THAT(refusal(), HasSubstr("incompat/of-the-future: "));
}

TEST_F(ForeignStateTest, WithoutPrivilegeAnUnreadableDirectoryMayBeEmpty) {
  if (::geteuid() == 0) {
    // As another user, to whom modes mean something.
    ASSERT_EQ(::chmod(temp_.path().c_str(), 0755), 0);
    ASSERT_EQ(::chmod(temp_.path("w").c_str(), 0777), 0);
    ASSERT_EQ(::seteuid(1000), 0);
  }
  temp_.dir("w/work");
  temp_.dir("w/index");
  ASSERT_EQ(::chmod(temp_.path("w/work").c_str(), 0), 0);
  EXPECT_EQ(refusal(), "");
  ASSERT_EQ(::chmod(temp_.path("w/index").c_str(), 0), 0);
  EXPECT_THAT(refusal(), AllOf(StartsWith("workdir: W/index: "),
                               HasSubstr("to go on, start nbdkit as root")));
  ASSERT_EQ(::chmod(temp_.path("w/index").c_str(), 0700), 0);
  ASSERT_EQ(::chmod(temp_.path("w/work").c_str(), 0700), 0);
  temp_.dir("w/work/incompat");
  ASSERT_EQ(::chmod(temp_.path("w/work").c_str(), 0), 0);
  EXPECT_THAT(refusal(), StartsWith("workdir: W/work: made by the kernel"));
  ASSERT_EQ(::chmod(temp_.path("w/work").c_str(), 0700), 0);
  if (::getuid() == 0) {
    ASSERT_EQ(::seteuid(0), 0);
  }
}

}  // namespace
}  // namespace ovl
