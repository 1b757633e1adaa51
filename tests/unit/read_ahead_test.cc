// SPDX-License-Identifier: BSD-3-Clause
//
// Which files the host is asked for before they are read: looked at in its
// cache.
#include "fsengine/device/read_ahead.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/support/page_cache.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint32_t kFiles = 200;
constexpr uint32_t kWindowFiles = 64;

// Files of one block, one behind the other on the device.
class ReadAheadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    temp_.dir("lower");
    for (uint32_t i = 0; i < kFiles; ++i)
      std::ofstream(path(i)) << std::string(kBlockSize, 'x');
    auto stack = Stack::open({{temp_.path("lower")}, {}, {}, {}});
    ASSERT_TRUE(stack) << stack.error().what();
    stack_ = std::move(*stack);
    auto image = Image::build(stack_->lower(), stack_->merged(), {});
    ASSERT_TRUE(image) << image.error().what();
    image_ = std::move(*image);
    files_ = std::make_unique<FileReader>(*stack_, [](const auto&) {});
    ahead_ = std::make_unique<ReadAhead>(*image_, *files_);
    for (uint32_t i = 0; i < kFiles; ++i)
      evict(path(i));
    if (is_cached(path(0)))
      GTEST_SKIP() << "the file system of TMPDIR has no cache to empty";
  }

  std::string path(uint32_t i) const {
    return temp_.path("lower/f" + std::to_string(1000 + i));
  }
  uint64_t offset_of(uint32_t i) const {
    const NodeId node = stack_->pool().child(stack_->merged().root,
                                             "f" + std::to_string(1000 + i));
    return to_int(*image_->block_of(node, 0)) * kBlockSize;
  }
  // A request for a number of files, the first of which must be waited for.
  void wait_in_request(uint32_t first, uint32_t count) {
    const uint64_t offset = offset_of(first);
    ahead_->before_wait({offset, offset + count * kBlockSize},
                        offset + kBlockSize);
  }
  // The files that are in the cache once all of the first `count` are there.
  uint32_t cached_once_there_are(uint32_t first, uint32_t count) const {
    for (uint32_t i = first; i < first + count; ++i)
      while (!is_cached(path(i)))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    uint32_t cached = 0;
    for (uint32_t i = 0; i < kFiles; ++i)
      cached += is_cached(path(i)) ? 1 : 0;
    return cached;
  }

  TempDir temp_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<FileReader> files_;
  std::unique_ptr<ReadAhead> ahead_;
};

TEST_F(ReadAheadTest, ARequestAsksForTheRestOfItself) {
  wait_in_request(10, 20);
  EXPECT_EQ(cached_once_there_are(11, 19), 19U);
}

TEST_F(ReadAheadTest, ALargeRequestAsksForAWindow) {
  wait_in_request(0, 150);
  EXPECT_EQ(cached_once_there_are(1, kWindowFiles), kWindowFiles);
}

TEST_F(ReadAheadTest, ARequestThatGoesOnAsksForWhatFollowsIt) {
  wait_in_request(0, 1);
  wait_in_request(1, 1);
  EXPECT_EQ(cached_once_there_are(2, kWindowFiles), kWindowFiles);
}

TEST_F(ReadAheadTest, AStreamThatFoundAllInTheCacheIsKnownAtItsEnd) {
  wait_in_request(0, 1);
  wait_in_request(1, 1);
  wait_in_request(2 + kWindowFiles, 1);
  EXPECT_EQ(cached_once_there_are(3 + kWindowFiles, kWindowFiles),
            2 * kWindowFiles);
}

TEST_F(ReadAheadTest, WaitsInOneRequestAreNoStream) {
  const uint64_t offset = offset_of(0);
  for (uint64_t i = 1; i <= 10; ++i)
    ahead_->before_wait({offset, offset + 10 * kBlockSize},
                        offset + i * kBlockSize);
  EXPECT_EQ(cached_once_there_are(1, 9), 9U);
}

TEST_F(ReadAheadTest, NothingIsAskedForTwice) {
  wait_in_request(0, 1);
  wait_in_request(1, 1);
  cached_once_there_are(2, kWindowFiles);
  evict(path(20));
  wait_in_request(2, 1);
  EXPECT_EQ(cached_once_there_are(2 + kWindowFiles, 1), kWindowFiles);
  EXPECT_FALSE(is_cached(path(20)));
}

TEST_F(ReadAheadTest, RequestsHereAndThereAskForNothing) {
  for (const uint32_t first : {5U, 50U, 20U, 100U, 53U, 7U})
    wait_in_request(first, 1);
  EXPECT_EQ(cached_once_there_are(0, 0), 0U);
}

TEST_F(ReadAheadTest, StreamsThatTakeTurnsEachGoOn) {
  wait_in_request(0, 1);
  wait_in_request(100, 1);
  wait_in_request(1, 1);
  wait_in_request(101, 1);
  cached_once_there_are(2, kWindowFiles);
  EXPECT_EQ(cached_once_there_are(102, kWindowFiles), 2 * kWindowFiles);
}

TEST_F(ReadAheadTest, TheEndOfTheDeviceIsTheEnd) {
  const auto last = image_->size() - kBlockSize;
  ahead_->before_wait({last - kBlockSize, last}, last);
  ahead_->before_wait({last, image_->size()}, image_->size());
  EXPECT_EQ(cached_once_there_are(0, 0), 0U);
}

}  // namespace
}  // namespace ovl
