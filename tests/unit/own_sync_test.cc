// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/own_sync.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>

#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;

// Tells which files were synced, by inode number.
class SyncedOs : public WrapOs {
 public:
  Status fsync(int fd) override {
    struct stat st {};
    ::fstat(fd, &st);
    synced.insert(st.st_ino);
    return {};
  }
  Status syncfs(int) override {
    ++whole;
    return {};
  }

  std::set<uint64_t> synced;
  int whole = 0;
};

class OwnSyncTest : public ::testing::Test {
 protected:
  OwnSyncTest() {
    for (const char* name : {"upper", "upper/d", "staging", "staging/dir"})
      fs::create_directory(temp_.path(name));
    for (const char* name : {"upper/d/f", "staging/f", "staging/dir/g"})
      std::ofstream(temp_.path(name)) << "x";
  }
  uint64_t ino(const std::string& name) {
    struct stat st {};
    EXPECT_EQ(::lstat(temp_.path(name).c_str(), &st), 0) << name;
    return st.st_ino;
  }
  void sync_staging() {
    const Fd staging = open_dir(temp_.path("staging"));
    ASSERT_TRUE(sync_staged(os_, staging.get()));
  }
  void sync_upper(const PublishPlan& plan) {
    const Fd upper = open_dir(temp_.path("upper"));
    const Fd staging = open_dir(temp_.path("staging"));
    ASSERT_TRUE(sync_published(os_, upper.get(), staging.get(), plan));
  }

  TempDir temp_;
  SyncedOs os_;
};

TEST_F(OwnSyncTest, EachStagedObjectAndItsDirectoryAreSynced) {
  sync_staging();
  EXPECT_EQ(os_.whole, 0);
  EXPECT_EQ(os_.synced, (std::set{ino("staging/f"), ino("staging/dir"),
                                  ino("staging/dir/g"), ino("staging")}));
}

TEST_F(OwnSyncTest, WhatCannotBeSyncedAloneTakesTheWholeFileSystem) {
  fs::create_symlink("f", temp_.path("staging/dir/link"));
  sync_staging();
  EXPECT_EQ(os_.whole, 1);
}

TEST_F(OwnSyncTest, AFifoIsNotOpened) {
  ASSERT_EQ(::mkfifo(temp_.path("staging/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(temp_.path("upper/fifo").c_str(), 0600), 0);
  sync_staging();
  PublishPlan plan;
  plan.attributes.push_back({"fifo", {}});
  sync_upper(plan);
  EXPECT_EQ(os_.whole, 2);
}

TEST_F(OwnSyncTest, ManyTakeTheWholeFileSystem) {
  for (int i = 0; i < 40; ++i)
    std::ofstream(temp_.path("staging/many" + std::to_string(i)));
  sync_staging();
  EXPECT_EQ(os_.whole, 1);
}

TEST_F(OwnSyncTest, WhatAPlanTouchedInUpperIsSynced) {
  PublishPlan plan;
  plan.names.push_back({NameStep::Kind::kAdd, "", "new", "1", 1});
  plan.patches.emplace_back().path = "d/f";
  plan.attributes.push_back({"d", {}});
  sync_upper(plan);
  EXPECT_EQ(os_.whole, 0);
  EXPECT_EQ(os_.synced, (std::set{ino("upper"), ino("upper/d"),
                                  ino("upper/d/f"), ino("staging")}));
}

TEST_F(OwnSyncTest, APathThatLeadsNowhereTakesTheWholeFileSystem) {
  PublishPlan plan;
  plan.names.push_back({NameStep::Kind::kRemove, "gone", "x", "1", 1});
  sync_upper(plan);
  EXPECT_EQ(os_.whole, 1);
}

TEST_F(OwnSyncTest, DirectoriesThatMoveTakeTheWholeFileSystem) {
  PublishPlan plan;
  plan.moves.push_back({"", "d", "1", 1});
  sync_upper(plan);
  EXPECT_EQ(os_.whole, 1);
}

}  // namespace
}  // namespace ovl
