// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/committed_view.h"

#include <cerrno>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/journal_writer.h"

namespace ovl {
namespace {

constexpr uint64_t kDeviceBlocks = 64;

// Like a JournalDevice of which what is zeros is known, and which counts.
class ZeroKnowingDevice : public BlockSource {
 public:
  explicit ZeroKnowingDevice(JournalDevice& device) : device_(device) {}
  uint64_t size() const override { return device_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    return device_.read(offset, out);
  }
  uint64_t zeros_at(uint64_t offset, uint64_t length) const override {
    const auto rest = device_.bytes().subspan(offset, length);
    const auto is_set = [](std::byte byte) { return byte != std::byte{}; };
    return static_cast<uint64_t>(std::ranges::find_if(rest, is_set) -
                                 rest.begin());
  }

 private:
  JournalDevice& device_;
};

// Blocks 0 to 39 hold their stamps, but 20 to 29, which are zeros; the journal
// has copies of some, of which 12 and 25 begin with the magic number.
class CommittedViewTest : public ::testing::Test {
 protected:
  CommittedViewTest() {
    for (uint64_t block = 0; block < 40; ++block)
      if (block < 20 || block >= 30)
        put(block, stamped_block(block));
    journal_.set_tail(1, 1);
    commit({{5, stamped_block(105)}, {6, stamped_block(106)}});
    commit({{12, stamped_block(112, true)}, {25, stamped_block(125, true)}});
    commit({{6, stamped_block(206)}, {63, stamped_block(163)}});
    std::ranges::copy(device_.bytes(), expected_.begin());
    for (const auto& [block, content] : copies_)
      std::ranges::copy(content, expected_.begin() + static_cast<ptrdiff_t>(
                                                         block * kBlockSize));
    EXPECT_TRUE(log_.advance(device_, journal_.runs()).has_value());
  }

  void put(uint64_t block, const JournalBlock& content) {
    std::ranges::copy(content, device_.block(BlockNo{block}).begin());
  }
  void commit(const std::vector<JournalWrite>& writes) {
    journal_.write(writes);
    for (const JournalWrite& write : writes)
      copies_[write.block] = write.content;
  }
  std::vector<std::byte> expected(uint64_t offset, uint64_t length) const {
    const auto part = std::span(expected_).subspan(offset, length);
    return {part.begin(), part.end()};
  }
  std::vector<std::byte> read(uint64_t offset, uint64_t length) const {
    std::vector<std::byte> bytes(length);
    EXPECT_TRUE(view_.read(offset, bytes).has_value());
    return bytes;
  }

  JournalDevice device_{kDeviceBlocks};
  ZeroKnowingDevice source_{device_};
  JournalWriter journal_{device_, {{0, BlockNo{40}, 20}}, {}};
  std::map<uint64_t, JournalBlock> copies_;
  std::vector<std::byte> expected_ =
      std::vector<std::byte>(kDeviceBlocks * kBlockSize);
  JournalLog log_;
  CommittedView view_{source_, log_};
};

TEST_F(CommittedViewTest, ShowsTheWholeDevice) {
  EXPECT_EQ(view_.size(), device_.size());
  EXPECT_EQ(read(0, view_.size()), expected(0, view_.size()));
}

TEST_F(CommittedViewTest, ReadsOfEveryAlignmentAroundTheMagicNumber) {
  const uint64_t block = 12 * kBlockSize;
  for (uint64_t from = block - 6; from < block + 8; ++from)
    for (uint64_t length = 0; length < 12; ++length)
      ASSERT_EQ(read(from, length), expected(from, length))
          << from - block << "+" << length;
}

TEST_F(CommittedViewTest, ReadsOfAnyAlignmentAndLength) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t from = random() % view_.size();
    const uint64_t length =
        std::min(random() % (5 * kBlockSize), view_.size() - from);
    ASSERT_EQ(read(from, length), expected(from, length)) << from;
  }
}

TEST_F(CommittedViewTest, AReadCostsItsLength) {
  const uint64_t before = device_.reads();
  read(7 * kBlockSize, 5 * kBlockSize);
  EXPECT_EQ(device_.reads() - before, 1U);
  read(4 * kBlockSize, 5 * kBlockSize);
  EXPECT_EQ(device_.reads() - before, 5U);  // 4, two copies, 7 and 8
}

TEST_F(CommittedViewTest, ZerosAreKnownUpToTheNextCopy) {
  EXPECT_EQ(view_.zeros_at(20 * kBlockSize, 20 * kBlockSize), 5 * kBlockSize);
  EXPECT_EQ(view_.zeros_at(20 * kBlockSize, 9), 9U);
  EXPECT_EQ(view_.zeros_at(24 * kBlockSize + 9, kBlockSize), kBlockSize - 9U);
  EXPECT_EQ(view_.zeros_at(25 * kBlockSize, kBlockSize), 0U);
  EXPECT_EQ(view_.zeros_at(25 * kBlockSize + 9, kBlockSize), 0U);
  EXPECT_EQ(view_.zeros_at(26 * kBlockSize, 20 * kBlockSize), 4 * kBlockSize);
  EXPECT_EQ(view_.zeros_at(7 * kBlockSize, kBlockSize), 0U);
  EXPECT_EQ(view_.zeros_at(63 * kBlockSize, kBlockSize), 0U);
}

TEST_F(CommittedViewTest, AnErrorOfReadingIsPassedOn) {
  std::vector<std::byte> bytes(3 * kBlockSize);
  device_.fail_at(log_.find(BlockNo{12})->at);
  const Status of_copy = view_.read(11 * kBlockSize, bytes);
  ASSERT_FALSE(of_copy.has_value());
  EXPECT_EQ(of_copy.error().code(), EIO);
  device_.fail_at(BlockNo{13});
  EXPECT_FALSE(view_.read(11 * kBlockSize, bytes).has_value());
  // What the copy stands for is not read at all.
  device_.fail_at(BlockNo{12});
  EXPECT_TRUE(view_.read(11 * kBlockSize, bytes).has_value());
}

}  // namespace
}  // namespace ovl
