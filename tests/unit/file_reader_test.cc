// SPDX-License-Identifier: BSD-3-Clause
//
// Reading files of a layer in place: many of them over few descriptors, and
// files that are not what the scan saw.
#include "fsengine/overlay/file_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/descriptor_limit.h"
#include "tests/support/page_cache.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FileReaderTest : public ::testing::Test {
 protected:
  FileReaderTest() { temp_.dir("lower"); }

  void write(const std::string& path, const std::string& content) {
    const fs::path file = lower(path);
    fs::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }
  std::string lower(const std::string& path) const {
    return temp_.path("lower/" + path);
  }
  void scan() {
    auto stack = Stack::open({{lower_}, {}, upper_, {}});
    ASSERT_TRUE(stack) << stack.error().what();
    stack_ = std::move(*stack);
    reader_ = std::make_unique<FileReader>(
        *stack_, [this](const std::string& line) { reports_.push_back(line); });
  }
  NodeId node(const std::string& path) const {
    NodeId id = stack_->merged().root;
    for (const fs::path& name : fs::path(path))
      id = stack_->pool().child(id, name.string());
    return id;
  }
  Result<std::string> read(const std::string& path, uint64_t offset,
                           size_t size) {
    std::string text(size, '?');
    OVL_TRY(reader_->read(node(path), offset,
                          std::as_writable_bytes(std::span(text))));
    return text;
  }
  int read_error(const std::string& path, size_t size = 4) {
    const auto text = read(path, 0, size);
    return text ? 0 : text.error().code();
  }

  TempDir temp_;
  std::string lower_ = temp_.path("lower");
  std::optional<std::string> upper_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<FileReader> reader_;
  std::vector<std::string> reports_;
};

size_t open_descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

TEST_F(FileReaderTest, PartsOfAFileAndZerosPastItsEnd) {
  write("a/b/f", "0123456789");
  scan();
  EXPECT_EQ(*read("a/b/f", 0, 10), "0123456789");
  EXPECT_EQ(*read("a/b/f", 3, 4), "3456");
  EXPECT_EQ(*read("a/b/f", 8, 4), std::string("89\0\0", 4));
  EXPECT_EQ(*read("a/b/f", 12, 2), std::string(2, '\0'));
}

TEST_F(FileReaderTest, MoreFilesAndDirectoriesThanDescriptors) {
  constexpr int kFiles = 400;
  for (int i = 0; i < kFiles; ++i)
    write("d" + std::to_string(i) + "/f", "content " + std::to_string(i));
  const DescriptorLimit limit(256);
  scan();
  const size_t before = open_descriptors();
  for (const size_t size : {size_t{1}, size_t{7}, size_t{64}})
    for (int i = 0; i < kFiles; ++i) {
      const std::string path = "d" + std::to_string(i) + "/f";
      const auto text = read(path, 0, size);
      ASSERT_TRUE(text) << text.error().what();
      const std::string all = "content " + std::to_string(i);
      EXPECT_EQ(text->substr(0, all.size()), all.substr(0, size));
    }
  EXPECT_GT(open_descriptors(), before + 32);
  EXPECT_LE(open_descriptors(), before + 128);
}

TEST_F(FileReaderTest, DescriptorsThatAreUsedUpElsewhereAreFoundAmongOurs) {
  for (int i = 0; i < 40; ++i)
    write("f" + std::to_string(i), "content");
  const DescriptorLimit limit(200);
  scan();
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(*read("f" + std::to_string(i), 0, 3), "con");
  std::vector<Fd> others;
  while (others.empty() || others.back().is_open())
    others.push_back(open_dir(temp_.path()));
  const auto text = read("f30", 0, 3);
  EXPECT_TRUE(text) << text.error().what();
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(FileReaderTest, WhatIsReadWholeIsNotKeptOpen) {
  write("f", "content");
  write("g", "content");
  scan();
  EXPECT_EQ(*read("f", 0, 7), "content");
  const size_t before = open_descriptors();
  EXPECT_EQ(*read("g", 0, 64), "content" + std::string(57, '\0'));
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(*read("g", 0, 3), "con");
  EXPECT_EQ(open_descriptors(), before + 1);
}

TEST_F(FileReaderTest, DriftIsAnErrorHoweverMuchIsReadAndReportedOnce) {
  write("dir/f", "content");
  scan();
  EXPECT_EQ(*read("dir/f", 0, 4), "cont");  // stays open
  const auto mtime = fs::last_write_time(lower("dir/f"));
  fs::last_write_time(lower("dir/f"), mtime + std::chrono::nanoseconds(1));
  EXPECT_EQ(read_error("dir/f"), EIO);
  EXPECT_EQ(read_error("dir/f", 7), EIO);
  EXPECT_EQ(read_error("dir/f"), EIO);
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("lower/dir/f: ")));
  fs::last_write_time(lower("dir/f"), mtime);
  EXPECT_EQ(*read("dir/f", 0, 7), "content");
}

TEST_F(FileReaderTest, AnotherInodeAnotherSizeOrNoFileIsDrift) {
  for (const char* name : {"inode", "size", "gone", "dir/gone", "kept"})
    write(name, "content");
  scan();
  const auto mtime = fs::last_write_time(lower("size"));
  fs::copy_file(lower("inode"), lower("copy"));
  fs::last_write_time(lower("copy"), fs::last_write_time(lower("inode")));
  fs::rename(lower("copy"), lower("inode"));
  fs::resize_file(lower("size"), 8);
  fs::last_write_time(lower("size"), mtime);
  fs::remove(lower("gone"));
  fs::remove_all(lower("dir"));
  for (const char* name : {"inode", "size", "gone", "dir/gone"})
    EXPECT_EQ(read_error(name), EIO) << name;
  EXPECT_EQ(read_error("kept"), 0);
  EXPECT_EQ(reports_.size(), 4U);
}

TEST_F(FileReaderTest, AnotherLinkIsToldOnceAndChangesNoBytes) {
  for (const char* name : {"f", "g", "h"})
    write(name, "content");
  scan();
  EXPECT_EQ(*read("f", 0, 7), "content");
  EXPECT_THAT(reports_, IsEmpty());
  for (const char* name : {"f", "g"})
    fs::create_hard_link(lower(name), lower(std::string(name) + "-link"));
  for (const char* name : {"f", "g", "h", "f"}) {
    EXPECT_EQ(*read(name, 0, 7), "content");
    EXPECT_EQ(*read(name, 0, 3), "con");
  }
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("lower/f: ")));
}

TEST_F(FileReaderTest, StatusOfUpperIsOursToChange) {
  write("f", "content");
  temp_.dir("empty");
  upper_ = temp_.path("lower");
  lower_ = temp_.path("empty");
  scan();
  fs::create_hard_link(lower("f"), lower("link"));
  EXPECT_EQ(*read("f", 0, 7), "content");
  EXPECT_THAT(reports_, IsEmpty());
}

TEST_F(FileReaderTest, WhoAsksIsCalledBeforeTheHostIsWaitedFor) {
  write("f", std::string(20000, 'x'));
  scan();
  evict(lower("f"));
  if (is_cached(lower("f")))
    GTEST_SKIP() << "the file system of TMPDIR has no cache to empty";
  int called = 0;
  std::vector<std::byte> bytes(20000);
  // Whether it is in the cache by now the host's disk decides: to be asked
  // without waiting made the kernel begin.
  const auto count = [&] {
    EXPECT_EQ(bytes.back(), std::byte{0});
    ++called;
  };
  EXPECT_TRUE(reader_->read(node("f"), 0, bytes, count));
  EXPECT_EQ(called, 1);
  EXPECT_TRUE(reader_->read(node("f"), 0, bytes, count));
  EXPECT_EQ(called, 1);
  EXPECT_EQ(bytes, std::vector<std::byte>(20000, std::byte{'x'}));
}

TEST_F(FileReaderTest, SymlinksInTheWayAreNotFollowed) {
  write("dir/f", "content");
  write("g", "content");
  scan();
  fs::rename(lower("dir"), lower("moved"));
  fs::create_directory_symlink("moved", lower("dir"));
  fs::rename(lower("g"), lower("h"));
  fs::create_symlink("h", lower("g"));
  EXPECT_EQ(read_error("dir/f"), EIO);
  EXPECT_EQ(read_error("g"), EIO);
}

TEST_F(FileReaderTest, APathIsWalkedThroughNoSymlink) {
  write("dir/sub/f", "content");
  fs::create_directory_symlink("dir", lower("link"));
  const Fd root = open_dir(temp_.path("lower"));
  EXPECT_TRUE(open_host_file(root.get(), "dir/sub/f"));
  EXPECT_FALSE(open_host_file(root.get(), "link/sub/f"));
  EXPECT_FALSE(open_host_file(root.get(), "dir/../dir/sub/../../../lower/f"));
}

TEST_F(FileReaderTest, AFifoInTheWayDoesNotHoldUp) {
  write("f", "content");
  scan();
  fs::remove(lower("f"));
  ASSERT_EQ(::mkfifo(lower("f").c_str(), 0600), 0);
  EXPECT_EQ(read_error("f"), EIO);
}

TEST_F(FileReaderTest, ManyReadersShareFewDescriptors) {
  constexpr int kFiles = 200;
  for (int i = 0; i < kFiles; ++i)
    write("d" + std::to_string(i % 40) + "/f" + std::to_string(i),
          std::string(100, static_cast<char>('a' + i % 26)));
  const DescriptorLimit limit(256);
  scan();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed)
    threads.emplace_back([this, seed, &wrong] {
      std::mt19937 random(seed);
      for (int round = 0; round < 2000; ++round) {
        const int i = static_cast<int>(random() % kFiles);
        const size_t size = 1 + random() % 100;
        const auto text = read(
            "d" + std::to_string(i % 40) + "/f" + std::to_string(i), 0, size);
        if (!text ||
            *text != std::string(size, static_cast<char>('a' + i % 26)))
          ++wrong;
      }
    });
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace ovl
