// SPDX-License-Identifier: BSD-3-Clause
//
// A file of a layer that is not what the scan saw: its blocks are errors, told
// once, and all others are as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "fsengine/device/device.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr size_t kFileBlocks = 3;
constexpr size_t kFileBytes = kFileBlocks * kBlockSize - 100;

void write_file(const fs::path& path, char letter) {
  std::ofstream(path) << std::string(kFileBytes, letter);
}

// Sizes and times as they were: only the inode tells.
void replace(const fs::path& path) {
  const fs::path other = path.string() + ".new";
  const auto time = fs::last_write_time(path);
  write_file(other, 'x');
  fs::last_write_time(other, time);
  fs::rename(other, path);
}

void touch(const fs::path& path) {
  fs::last_write_time(path,
                      fs::last_write_time(path) + std::chrono::nanoseconds(1));
}

void overwrite(const fs::path& path) {
  write_file(path, 'x');
  touch(path);
}

// The time stays: only the size tells.
void resize(const fs::path& path, size_t size) {
  const auto time = fs::last_write_time(path);
  fs::resize_file(path, size);
  fs::last_write_time(path, time);
}

class DriftTest : public ::testing::Test {
 protected:
  DriftTest() {
    temp_.dir("lower/d");
    for (const char letter : {'a', 'b', 'c'})
      write_file(path(letter), letter);
    open();
    before_ = read_whole();
  }

  std::string path(char letter) const {
    return temp_.path("lower/d/") + letter;
  }

  void open() {
    DeviceConfig config;
    config.lowers = {temp_.path("lower")};
    config.userxattr = true;
    config.report = [this](const std::string& line) {
      reports_.push_back(line);
    };
    auto device = Device::open(std::move(config), host_os());
    ASSERT_TRUE(device) << device.error().what();
    device_ = std::move(*device);
  }

  Bytes read_whole() {
    Bytes bytes(device_->size());
    EXPECT_TRUE(device_->read(0, bytes));
    return bytes;
  }

  std::span<const std::byte> block_before(size_t block) const {
    return std::span(before_).subspan(block * kBlockSize, kBlockSize);
  }

  size_t first_block_of(char letter) const {
    const Bytes whole(kBlockSize, static_cast<std::byte>(letter));
    for (size_t block = 0; block * kBlockSize < before_.size(); ++block)
      if (std::ranges::equal(whole, block_before(block)))
        return block;
    ADD_FAILURE() << "no block of " << letter;
    return 0;
  }

  // Each block by itself: those of `b` fail, twice, the others are the same.
  void expect_only_b_fails() {
    const size_t first = first_block_of('b');
    for (size_t block = 0; block * kBlockSize < before_.size(); ++block) {
      Bytes bytes(kBlockSize);
      const Status status = device_->read(block * kBlockSize, bytes);
      if (block >= first && block < first + kFileBlocks) {
        ASSERT_FALSE(status) << "block " << block;
        EXPECT_EQ(status.error().code(), EIO);
        EXPECT_TRUE(status.error().is_reported());
        EXPECT_FALSE(device_->read(block * kBlockSize, bytes));
        continue;
      }
      ASSERT_TRUE(status) << "block " << block << status.error().what();
      EXPECT_TRUE(std::ranges::equal(bytes, block_before(block)));
    }
  }

  // Before the file was ever opened.
  void expect_drift(const std::function<void(const fs::path&)>& change) {
    open();
    change(path('b'));
    expect_only_b_fails();
    EXPECT_THAT(reports_, ElementsAre(HasSubstr("lower/d/b: ")));
  }

  TempDir temp_;
  std::vector<std::string> reports_;
  std::unique_ptr<Device> device_;
  Bytes before_;
};

TEST_F(DriftTest, ReplacedFileIsAnErrorOnItsBlocks) {
  expect_drift(replace);
}

TEST_F(DriftTest, OverwrittenFileIsAnErrorOnItsBlocks) {
  expect_drift(overwrite);
}

TEST_F(DriftTest, TouchedFileIsAnErrorOnItsBlocks) {
  expect_drift(touch);
}

TEST_F(DriftTest, TruncatedFileIsAnErrorOnItsBlocks) {
  expect_drift([](const fs::path& file) { resize(file, 1000); });
}

TEST_F(DriftTest, GrownFileIsAnErrorOnItsBlocks) {
  expect_drift([](const fs::path& file) { resize(file, kFileBytes + 1); });
}

TEST_F(DriftTest, RemovedFileIsAnErrorOnItsBlocks) {
  expect_drift([](const fs::path& file) { fs::remove(file); });
}

TEST_F(DriftTest, SymlinkInPlaceOfAFileIsNotFollowed) {
  expect_drift([](const fs::path& file) {
    fs::rename(file, file.string() + ".old");
    fs::create_symlink(file.string() + ".old", file);
  });
}

TEST_F(DriftTest, FifoInPlaceOfAFileIsNotWaitedFor) {
  expect_drift([](const fs::path& file) {
    fs::remove(file);
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  });
}

TEST_F(DriftTest, SymlinkInPlaceOfItsDirectoryIsNotFollowed) {
  open();
  fs::rename(temp_.path("lower/d"), temp_.path("elsewhere"));
  fs::create_directory_symlink(temp_.path("elsewhere"), temp_.path("lower/d"));
  Bytes bytes(kBlockSize);
  for (const char letter : {'a', 'b', 'c'})
    EXPECT_EQ(device_->read(first_block_of(letter) * kBlockSize, bytes)
                  .error()
                  .code(),
              EIO);
  EXPECT_EQ(reports_.size(), 3U);
}

// The file was read before, and stays open: its bytes may still be had, but
// no others.
TEST_F(DriftTest, ChangeOfAnOpenFileIsAnError) {
  for (const auto& change : {overwrite, touch}) {
    change(path('b'));
    expect_only_b_fails();
  }
  EXPECT_THAT(reports_, ElementsAre(HasSubstr("lower/d/b: ")));
}

TEST_F(DriftTest, OpenFileThatIsReplacedNeverGivesOtherBytes) {
  replace(path('b'));
  const size_t block = first_block_of('b');
  Bytes bytes(kBlockSize);
  if (device_->read(block * kBlockSize, bytes)) {
    EXPECT_TRUE(std::ranges::equal(bytes, block_before(block)));
  }
}

TEST_F(DriftTest, RequestOverSeveralFilesFailsWithOneReport) {
  open();
  touch(path('b'));
  Bytes bytes(before_.size());
  EXPECT_EQ(device_->read(0, bytes).error().code(), EIO);
  EXPECT_EQ(reports_.size(), 1U);
}

}  // namespace
}  // namespace ovl
