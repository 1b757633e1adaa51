// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/power_loss.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/power_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;

class PowerLossTest : public ::testing::Test {
 protected:
  PowerLossTest() : a_(open_dir(temp_.dir("a"))), b_(open_dir(temp_.dir("b"))) {
    temp_.dir("morgue");
    watch();
  }

  // All that is there is on disk.
  void watch() {
    os_.watch({temp_.path("a"), temp_.path("b")}, temp_.path("morgue"));
  }
  At in_a(const std::string& name) { return {a_.get(), name}; }
  At in_b(const std::string& name) { return {b_.get(), name}; }
  Fd make(const At& at) {
    auto fd = os_.open_file(at, O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_TRUE(fd);
    return std::move(*fd);
  }
  void write(const Fd& fd, const std::string& text) {
    EXPECT_TRUE(os_.pwrite(fd.get(), std::as_bytes(std::span(text)), 0));
  }
  void sync(const Fd& fd) { EXPECT_TRUE(os_.fsync(fd.get())); }

  bool has(const std::string& path) { return fs::exists(temp_.path(path)); }
  std::string content(const std::string& path) {
    std::ifstream file(temp_.path(path));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  uint64_t ino(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(::lstat(temp_.path(path).c_str(), &st), 0) << path;
    return st.st_ino;
  }

  TempDir temp_;
  Fd a_;
  Fd b_;
  PowerOs os_;
};

TEST_F(PowerLossTest, WithoutASyncNothingIsSure) {
  write(make(in_a("f")), "text");
  os_.cut(Loss::kNothing, 0);
  EXPECT_EQ(content("a/f"), "text");
  write(make(in_a("g")), "text");
  os_.cut(Loss::kAll, 0);
  EXPECT_TRUE(has("a/f"));
  EXPECT_FALSE(has("a/g"));
}

TEST_F(PowerLossTest, ASyncOfAFileDoesNotKeepItsName) {
  const Fd file = make(in_a("f"));
  write(file, "text");
  sync(file);
  os_.cut(Loss::kAll, 0);
  EXPECT_FALSE(has("a/f"));
}

TEST_F(PowerLossTest, ANameMayBeThereBeforeItsBytes) {
  write(make(in_a("f")), "text");
  sync(a_);
  os_.cut(Loss::kAll, 0);
  EXPECT_TRUE(has("a/f"));
  EXPECT_EQ(content("a/f"), "");
}

TEST_F(PowerLossTest, ASyncOfBytesDoesNotKeepAttributes) {
  const Fd file = make(in_a("f"));
  sync(a_);
  write(file, "text");
  ASSERT_TRUE(os_.chmod(in_a("f"), 0640));
  ASSERT_TRUE(os_.fdatasync(file.get()));
  os_.cut(Loss::kAll, 0);
  EXPECT_EQ(content("a/f"), "text");
  EXPECT_EQ(fs::status(temp_.path("a/f")).permissions(), fs::perms(0600));
}

TEST_F(PowerLossTest, ARenameIsInBothDirectoriesOrInNone) {
  make(in_a("f"));
  make(in_b("g"));
  watch();
  const uint64_t moved = ino("a/f");
  const uint64_t replaced = ino("b/g");
  ASSERT_TRUE(os_.rename(in_a("f"), in_b("g"), Rename::kReplace));
  os_.cut(Loss::kAll, 0);
  EXPECT_EQ(ino("a/f"), moved);
  EXPECT_EQ(ino("b/g"), replaced);
  ASSERT_TRUE(os_.rename(in_a("f"), in_b("g"), Rename::kExchange));
  sync(b_);
  os_.cut(Loss::kAll, 0);
  EXPECT_EQ(ino("a/f"), replaced);
  EXPECT_EQ(ino("b/g"), moved);
}

TEST_F(PowerLossTest, WhatADirectoryHadBeforeASyncedRenameIsThere) {
  make(in_a("earlier"));
  make(in_a("f"));
  ASSERT_TRUE(os_.rename(in_a("f"), in_b("f"), Rename::kNoReplace));
  make(in_a("later"));
  sync(b_);
  os_.cut(Loss::kAll, 0);
  EXPECT_TRUE(has("a/earlier"));
  EXPECT_TRUE(has("b/f"));
  EXPECT_FALSE(has("a/later"));
}

TEST_F(PowerLossTest, NamesOfOneDirectoryAreInOrderThoseOfTwoAreNot) {
  bool was_out_of_order = false;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    make(in_a("first"));
    make(in_a("second"));
    make(in_b("third"));
    os_.cut(Loss::kAnyOrder, seed);
    EXPECT_TRUE(has("a/first") || !has("a/second"));
    was_out_of_order |= has("b/third") && !has("a/first");
    for (const char* path : {"a/first", "a/second", "b/third"})
      fs::remove(temp_.path(path));
    watch();
  }
  EXPECT_TRUE(was_out_of_order);
}

TEST_F(PowerLossTest, WhatWasRemovedComesBackAsItself) {
  write(make(in_a("f")), "text");
  ASSERT_TRUE(os_.make_dir(in_a("d"), 0700));
  const Fd dir = open_dir(temp_.path("a/d"));
  make({dir.get(), "inner"});
  watch();
  const auto before = std::pair(ino("a/f"), ino("a/d"));
  ASSERT_TRUE(os_.unlink(in_a("f")));
  ASSERT_FALSE(os_.remove_dir(in_a("d")));
  ASSERT_TRUE(os_.unlink({dir.get(), "inner"}));
  ASSERT_TRUE(os_.remove_dir(in_a("d")));
  EXPECT_FALSE(has("a/d"));
  os_.cut(Loss::kAll, 0);
  EXPECT_EQ(std::pair(ino("a/f"), ino("a/d")), before);
  EXPECT_EQ(content("a/f"), "text");
  EXPECT_TRUE(has("a/d/inner"));
}

TEST_F(PowerLossTest, BytesBehindATruncationAreNotThereWithoutIt) {
  const std::string old_text(2000, 'o');
  const std::string new_text(2000, 'n');
  bool was_torn = false;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    const Fd file = make(in_a("f"));
    write(file, old_text);
    watch();
    ASSERT_TRUE(os_.ftruncate(file.get(), 0));
    write(file, new_text);
    os_.cut(Loss::kAnyOrder, seed);
    const std::string found = content("a/f");
    EXPECT_TRUE(found == old_text || found.find('o') == found.npos);
    was_torn |= !found.empty() && found != old_text && found != new_text;
    fs::remove(temp_.path("a/f"));
  }
  EXPECT_TRUE(was_torn);
}

TEST_F(PowerLossTest, AFailedSyncLosesItsBytesUntilTheyAreWrittenAgain) {
  const Fd file = make(in_a("f"));
  sync(a_);
  for (const bool is_written_again : {false, true}) {
    write(file, "text");
    os_.reset();
    os_.fail_sync_at(0);
    ASSERT_FALSE(os_.fsync(file.get()));
    if (is_written_again)
      write(file, "text");
    sync(file);
    os_.cut(Loss::kAll, 0);
    EXPECT_EQ(content("a/f"), is_written_again ? "text" : "");
  }
}

TEST_F(PowerLossTest, AttributesAreLostWithTheirTimes) {
  const Fd file = make(in_a("f"));
  ASSERT_TRUE(os_.set_mtime(in_a("f"), {100, 5}));
  watch();
  ASSERT_TRUE(os_.set_xattr(in_a("f"), "user.name", "value"));
  ASSERT_TRUE(os_.set_mtime(in_a("f"), {200, 6}));
  os_.cut(Loss::kAll, 0);
  EXPECT_TRUE(os_.difference().empty());
  const HostTree now = HostTree::read({temp_.path("a")});
  const HostObject& found = now.objects().at(ino("a/f"));
  EXPECT_TRUE(found.xattrs.empty());
  EXPECT_EQ(found.attributes.mtime, (Timestamp{100, 5}));
}

}  // namespace
}  // namespace ovl
