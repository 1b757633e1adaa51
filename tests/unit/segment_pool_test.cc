// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/segment_pool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <vector>

#include "fsengine/base/dir_names.h"
#include "fsengine/store/log_writer.h"
#include "tests/support/recording_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint32_t kSegmentBlocks = 64;
constexpr uint64_t kSegmentBytes = kSegmentBlocks * kBlockSize;
constexpr uint64_t kFirstPayloadBlock = 2;  // header and heads before it

class SegmentPoolTest : public ::testing::Test {
 protected:
  uint64_t written() const {
    uint64_t bytes = 0;
    for (const RecordedOp& op : os_.ops())
      bytes += op.kind == RecordedOp::Kind::kWrite ? op.bytes.size() : 0;
    return bytes;
  }

  TempDir temp_;
  Fd dir_ = open_dir(temp_.path());
  RecordingOs os_{temp_.path()};
  SegmentPool pool_{os_, dir_.get(), kSegmentBlocks};
};

TEST_F(SegmentPoolTest, ANewFileHasItsSpaceAndANameAndNothingIsWritten) {
  const auto segment = pool_.acquire().value();
  EXPECT_FALSE(segment->is_filled());
  EXPECT_EQ(pool_.live(), 1U);
  EXPECT_EQ(written(), 0U);
  std::vector<RecordedOp::Kind> kinds;
  for (const RecordedOp& op : os_.ops())
    kinds.push_back(op.kind);
  using enum RecordedOp::Kind;
  EXPECT_EQ(kinds, (std::vector{kCreate, kTruncate, kSyncFile, kSyncDir}));
  struct stat st {};
  ASSERT_EQ(::fstat(segment->fd(), &st), 0);
  EXPECT_EQ(st.st_size, static_cast<off_t>(kSegmentBytes));
  EXPECT_GE(st.st_blocks, static_cast<off_t>(kSegmentBytes / 512));
}

TEST_F(SegmentPoolTest, AFileThatWasWrittenIsFilledWhenUsedAgain) {
  auto first = pool_.acquire().value();
  const uint32_t number = first->number();
  ASSERT_TRUE(pool_.fill(first->fd(), 0, kSegmentBlocks - 1));
  first.reset();
  auto second = pool_.acquire().value();
  EXPECT_EQ(second->number(), number);
  EXPECT_FALSE(second->is_filled());
  ASSERT_TRUE(pool_.fill(second->fd(), kSegmentBlocks - 1, kSegmentBlocks));
  second.reset();
  EXPECT_TRUE(pool_.acquire().value()->is_filled());
  EXPECT_EQ(written(), kSegmentBytes);
  EXPECT_EQ(pool_.live(), 0U);
}

TEST_F(SegmentPoolTest, WhereSpaceCannotBeTakenOtherwiseFilesAreFilled) {
  class NoAllocateOs : public WrapOs {
    Status allocate(int, uint64_t) override {
      return system_error(EOPNOTSUPP, "fallocate");
    }
  } os;
  SegmentPool pool(os, dir_.get(), kSegmentBlocks);
  const auto segment = pool.acquire().value();
  EXPECT_TRUE(segment->is_filled());
  struct stat st {};
  ASSERT_EQ(::fstat(segment->fd(), &st), 0);
  EXPECT_EQ(st.st_size, static_cast<off_t>(kSegmentBytes));
}

TEST_F(SegmentPoolTest, TrimmingLeavesWhatIsInUseAndAsManyFilesAsToldTo) {
  std::vector<SegmentRef> segments;
  for (int i = 0; i < 6; ++i)
    segments.push_back(pool_.acquire().value());
  const auto files = [this] { return list_names(dir_.get()).value().size(); };
  pool_.trim(2);
  EXPECT_EQ(files(), 6U);
  segments.resize(3);
  pool_.trim(5);
  EXPECT_EQ(files(), 5U);
  pool_.trim(0);
  EXPECT_EQ(files(), 3U);
  for (const SegmentRef& segment : segments)
    EXPECT_TRUE(
        std::filesystem::exists(temp_.path(std::to_string(segment->number()))));
  EXPECT_EQ(pool_.live(), 3U);
  segments.push_back(pool_.acquire().value());
  EXPECT_EQ(files(), 4U);
}

// A sync must not find blocks that were never written.
TEST_F(SegmentPoolTest, FillingAheadIsAheadOfEveryRecord) {
  LogWriter writer(os_, pool_, {});
  ASSERT_TRUE(writer.open());
  const std::vector<std::byte> payload(kBlockSize, std::byte{1});
  const NewRecord record{RecordKind::kWrite, BlockNo{1}, 1, payload, 0};
  std::vector<bool> was_written(kSegmentBlocks, false);
  size_t seen = 0;
  const auto look = [&](uint64_t least, bool is_new) {
    for (; seen < os_.ops().size(); ++seen) {
      const RecordedOp& op = os_.ops()[seen];
      for (uint64_t at = 0; at < op.bytes.size(); at += kBlockSize) {
        const uint64_t block = (op.offset + at) / kBlockSize;
        EXPECT_TRUE(is_new || block < least || was_written[block]) << block;
        was_written[block] = true;
      }
    }
  };
  look(0, true);
  for (uint32_t i = 0; i + 3 < kSegmentBlocks; ++i) {
    ASSERT_TRUE(writer.fill_ahead());
    look(0, true);
    ASSERT_TRUE(writer.append(record, Position{}));
    look(kFirstPayloadBlock, false);
  }
  EXPECT_EQ(pool_.live(), 1U);
}

TEST_F(SegmentPoolTest, FillingAheadWritesEachBlockOnce) {
  LogWriter writer(os_, pool_, {});
  ASSERT_TRUE(writer.open());
  const uint64_t before = written();
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(writer.fill_ahead());
  EXPECT_EQ(written() - before,
            kSegmentBytes - kFirstPayloadBlock * kBlockSize);
}

}  // namespace
}  // namespace ovl
