// SPDX-License-Identifier: BSD-3-Clause
//
// How heads get into their blocks: by a write or by a store, always with the
// same bytes.
#include "fsengine/store/log_writer.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "fsengine/base/read_at.h"
#include "tests/support/recording_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint32_t kSegmentBlocks = 16;
constexpr uint64_t kHeads = kBlockSize;  // where the first block of them is

// Records what is done, and refuses what it is told to.
class RefusingOs : public RecordingOs {
 public:
  using RecordingOs::RecordingOs;
  bool refuses_maps = false;
  int stores_left = INT_MAX;

  Result<FileMapping> map(int fd, uint64_t size) override {
    if (refuses_maps)
      return system_error(ENODEV, "mmap");
    return RecordingOs::map(fd, size);
  }
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    if (stores_left-- <= 0)
      return system_error(EIO, "store");
    return RecordingOs::store(file, offset, bytes);
  }
};

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() { EXPECT_TRUE(writer_.open()); }

  void append(int count) {
    for (int i = 0; i < count; ++i) {
      const auto placed = writer_.append(
          {RecordKind::kZero, BlockNo{++block_}, 1, {}, 0}, Position{});
      ASSERT_TRUE(placed) << placed.error().what();
      segment_ = placed->segment;
    }
  }
  // A letter for each head: written or stored.
  std::string ways() const {
    std::string text;
    for (const RecordedOp& op : os_.ops()) {
      const bool is_head =
          op.bytes.size() == kRecordHeadBytes && op.offset >= kHeads;
      if (is_head)
        text += op.kind == RecordedOp::Kind::kStore ? 's' : 'w';
    }
    return text;
  }
  // How many of the file's heads are as they were appended.
  uint64_t heads_in_file() {
    std::vector<std::byte> bytes(kRecordHeadBytes * block_);
    EXPECT_TRUE(read_at(segment_->fd(), kHeads, bytes));
    uint64_t count = 0;
    for (size_t at = 0; at < bytes.size(); at += kRecordHeadBytes) {
      const auto head = decode_record_head(
          std::span(bytes).subspan(at).first<kRecordHeadBytes>(),
          incarnation());
      count += head && to_int(head->first) == at / kRecordHeadBytes + 1 &&
                       to_int(head->position) == at / kRecordHeadBytes + 1
                   ? 1
                   : 0;
    }
    return count;
  }
  uint64_t incarnation() {
    std::array<std::byte, kSegmentHeaderBytes> bytes{};
    EXPECT_TRUE(read_at(segment_->fd(), 0, bytes));
    SegmentHeader header;
    EXPECT_EQ(decode_segment_header(bytes, header), HeaderState::kValid);
    return header.incarnation;
  }

  TempDir temp_;
  Fd dir_ = open_dir(temp_.path());
  RefusingOs os_{temp_.path()};
  SegmentPool pool_{os_, dir_.get(), kSegmentBlocks};
  LogWriter writer_{os_, pool_, {}};
  SegmentRef segment_;
  uint64_t block_ = 0;
};

TEST_F(LogWriterTest, HeadsBehindTheFirstAreStored) {
  append(5);
  EXPECT_EQ(ways(), "wssss");
  EXPECT_EQ(heads_in_file(), 5U);
}

TEST_F(LogWriterTest, EachBlockOfHeadsBeginsWithAWrite) {
  append(2 * kHeadsInBlock + 1);
  const std::string block = "w" + std::string(kHeadsInBlock - 1, 's');
  EXPECT_EQ(ways(), block + block + "w");
  EXPECT_EQ(heads_in_file(), 2 * kHeadsInBlock + 1);
}

TEST_F(LogWriterTest, NoHeadIsStoredToAPageThatWasSynced) {
  for (int i = 0; i < 3; ++i) {
    append(2);
    EXPECT_EQ(writer_.take_unsynced().size(), 1U);
  }
  append(1);
  writer_.take_unsynced();
  append(1);
  EXPECT_EQ(ways(), "wswswsww");
  EXPECT_EQ(heads_in_file(), 8U);
}

TEST_F(LogWriterTest, HeadsAreWrittenWhereNothingCanBeMapped) {
  os_.refuses_maps = true;
  append(3);
  writer_.take_unsynced();
  append(kHeadsInBlock);
  EXPECT_EQ(ways(), std::string(kHeadsInBlock + 3, 'w'));
  EXPECT_EQ(heads_in_file(), kHeadsInBlock + 3);
}

TEST_F(LogWriterTest, AHeadThatCannotBeStoredIsWritten) {
  os_.stores_left = 2;
  append(6);
  EXPECT_EQ(ways(), "wsswww");
  EXPECT_EQ(heads_in_file(), 6U);
}

TEST_F(LogWriterTest, ANewSegmentIsAskedAgain) {
  os_.stores_left = 0;
  append(2);
  writer_.let_go();
  segment_.reset();
  os_.stores_left = 2;
  append(3);
  EXPECT_EQ(ways(), "wwwss");
}

}  // namespace
}  // namespace ovl
