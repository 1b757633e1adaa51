// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/publish_plan.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "fsengine/base/fd.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

class PublishTest : public ::testing::Test {
 protected:
  PublishTest() {
    for (const char* name : {"upper", "staging"})
      std::filesystem::create_directory(temp_.path(name));
    std::ofstream(temp_.path("upper/file")) << "of somebody";
    ::chmod(temp_.path("upper/file").c_str(), 0600);
  }
  struct stat stat_of(const std::string& path) const {
    struct stat st {};
    EXPECT_EQ(::lstat(temp_.path(path).c_str(), &st), 0);
    return st;
  }
  Fd open(const std::string& path) const {
    return Fd(
        ::open(temp_.path(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  /// A plan that makes the mode of the file with this inode number 0640.
  Status set_mode_of(uint64_t ino) const {
    PublishPlan plan;
    plan.upper_ino = stat_of("upper").st_ino;
    AttributeStep& step = plan.attributes.emplace_back();
    step.path = "file";
    step.change.mode = 0640;
    step.ino = ino;
    return publish(host_os(), open("upper").get(), open("staging").get(), plan,
                   nullptr);
  }

  TempDir temp_;
};

TEST_F(PublishTest, AttributesGoToTheFileThatTheyAreFor) {
  ASSERT_TRUE(set_mode_of(stat_of("upper/file").st_ino));
  EXPECT_EQ(stat_of("upper/file").st_mode & 07777, 0640U);
}

TEST_F(PublishTest, WhatTookTheFilesNameGetsNoneOfItsAttributes) {
  const Status done = set_mode_of(stat_of("upper/file").st_ino + 1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ESTALE);
  EXPECT_EQ(done.error().what().find("upperdir: file: "), 0U);
  EXPECT_EQ(stat_of("upper/file").st_mode & 07777, 0600U);
}

}  // namespace
}  // namespace ovl
