// SPDX-License-Identifier: BSD-3-Clause
//
// Space that the store takes ahead of a guest: where, how much, and that it
// does not stay.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <utility>
#include <vector>

#include "fsengine/store/allocated_ranges.h"
#include "fsengine/store/space_ahead.h"
#include "tests/support/disk_world.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {

void PrintTo(const BlockRange& range, std::ostream* out) {
  *out << to_int(range.first) << "+" << range.count;
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kChunk = 64;

SpaceAhead::Rules small() {
  return {.chunk_blocks = kChunk,
          .enough_blocks = 3,
          .most_chunks = 2,
          .spare_bytes = 0};
}

BlockRange chunk(uint64_t number) {
  return {BlockNo{number * kChunk}, kChunk};
}

TEST(SpaceAhead, IsTakenOnceWhereEnoughWasPlaced) {
  SpaceAhead ahead(small(), 1000);
  EXPECT_EQ(ahead.note_placed(BlockNo{70}, 2), std::nullopt);
  EXPECT_EQ(ahead.note_placed(BlockNo{10}, 2), std::nullopt);
  EXPECT_EQ(ahead.note_placed(BlockNo{127}, 1), chunk(1));
  EXPECT_EQ(ahead.note_placed(BlockNo{71}, 15), std::nullopt);
}

TEST(SpaceAhead, EndsWithTheDevice) {
  SpaceAhead ahead(small(), 2 * kChunk + 5);
  EXPECT_EQ(ahead.note_placed(BlockNo{2 * kChunk}, 3),
            (BlockRange{BlockNo{2 * kChunk}, 5}));
}

TEST(SpaceAhead, IsOfSoManyChunksAtATime) {
  SpaceAhead ahead(small(), 1000);
  EXPECT_TRUE(ahead.note_placed(BlockNo{0}, 3));
  EXPECT_TRUE(ahead.note_placed(BlockNo{kChunk}, 3));
  EXPECT_FALSE(ahead.note_placed(BlockNo{2 * kChunk}, 3));
  EXPECT_THAT(ahead.take_all(), ElementsAre(chunk(0), chunk(1)));
  EXPECT_EQ(ahead.note_placed(BlockNo{2 * kChunk}, 3), chunk(2));
}

TEST(SpaceAhead, GoesWhereNothingCameFromOnePassToTheNext) {
  SpaceAhead ahead(small(), 1000);
  ahead.note_placed(BlockNo{0}, 3);
  ahead.note_placed(BlockNo{kChunk}, 3);
  EXPECT_THAT(ahead.take_quiet(), IsEmpty());
  ahead.note_placed(BlockNo{5}, 1);
  EXPECT_THAT(ahead.take_quiet(), ElementsAre(chunk(1)));
  EXPECT_THAT(ahead.take_quiet(), ElementsAre(chunk(0)));
  EXPECT_THAT(ahead.take_all(), IsEmpty());
}

TEST(SpaceAhead, WhatComesSlowlyIsNotEnough) {
  SpaceAhead ahead(small(), 1000);
  ahead.note_placed(BlockNo{kChunk}, 3);
  for (int pass = 0; pass < 5; ++pass) {
    EXPECT_FALSE(ahead.note_placed(BlockNo{0}, 2));
    ahead.take_quiet();
    ahead.note_placed(BlockNo{kChunk}, 3);
  }
}

TEST(SpaceAhead, ThatWasRefusedIsNotGivenBack) {
  SpaceAhead ahead(small(), 1000);
  ahead.note_placed(BlockNo{0}, 3);
  ahead.note_placed(BlockNo{kChunk}, 3);
  ahead.note_refused(chunk(0));
  EXPECT_FALSE(ahead.note_placed(BlockNo{1}, 2));
  EXPECT_EQ(ahead.note_placed(BlockNo{1}, 1), chunk(0));
  ahead.note_refused(chunk(0));
  EXPECT_THAT(ahead.take_all(), ElementsAre(chunk(1)));
}

TEST(SpaceAhead, IsNotForgottenWhereAnotherChunkTakesItsSlot) {
  SpaceAhead ahead(small(), UINT32_MAX);
  const uint64_t other = 4096;
  ahead.note_placed(BlockNo{0}, 3);
  ahead.note_placed(BlockNo{other * kChunk}, 3);
  EXPECT_THAT(ahead.take_all(), ElementsAre(chunk(0), chunk(other)));
}

/// A guest that writes a little of a device here and there, behind much at
/// once.
class DiskAhead : public ::testing::Test {
 protected:
  static constexpr uint64_t kBlocks = 4096;
  static constexpr uint64_t kMany = 256;

  DiskOptions options() const {
    DiskOptions options;
    options.segment_blocks = 300;
    options.ahead = small();
    options.ahead.most_chunks = 100;
    return options;
  }
  void SetUp() override { begin(options()); }
  void begin(const DiskOptions& options) {
    disk_ = Disk::create(host_os(), dir_.get(), base_, 7, options).value();
    write_all();
  }
  void write_all() {
    write(0, kMany);
    for (uint64_t block = 1000; block < 2000; block += 5)
      write(block, 1);
  }
  void write(uint64_t block, uint64_t count) {
    const std::vector<std::byte> bytes(
        count * kBlockSize, static_cast<std::byte>('a' + block % 26));
    ASSERT_TRUE(disk_->write(block * kBlockSize, bytes, Durability::kLazy));
  }
  void check() {
    std::vector<std::byte> bytes(kBlockSize);
    for (uint64_t block = 1000; block < 2000; ++block) {
      ASSERT_TRUE(disk_->read(block * kBlockSize, bytes));
      const char base = static_cast<char>('A' + block % 26);
      ASSERT_EQ(static_cast<char>(bytes[0]),
                block % 5 == 0 ? static_cast<char>('a' + block % 26) : base);
    }
  }
  uint64_t blocks_with_space() const {
    struct stat st {};
    EXPECT_EQ(::stat(temp_.path("blocks").c_str(), &st), 0);
    return static_cast<uint64_t>(st.st_blocks) * 512 / kBlockSize;
  }
  // Blocks of the file system's own, for an extent each.
  static constexpr uint64_t kOfItsOwn = 4;

  TempDir temp_;
  Fd dir_ = open_dir(temp_.path(""));
  LetterBase base_{kBlocks};
  std::unique_ptr<Disk> disk_;
};

TEST_F(DiskAhead, SpaceIsTakenWhereItWritesDensely) {
  EXPECT_GE(blocks_with_space(), kMany + 900);
  EXPECT_LE(blocks_with_space(), kMany + 1000 + 2 * kChunk + kOfItsOwn);
  check();
}

TEST_F(DiskAhead, NoneIsTakenWhereTheHostHasLittle) {
  DiskOptions sparing = options();
  sparing.ahead.spare_bytes = uint64_t{1} << 60;
  begin(sparing);
  EXPECT_LE(blocks_with_space(), kMany + 200 + kOfItsOwn);
}

TEST_F(DiskAhead, ItGoesBackWhenTheGuestIsElsewhere) {
  for (int pass = 0; pass < 2; ++pass) {
    write(3000, 1);
    ASSERT_TRUE(disk_->fold());
    check();
  }
  EXPECT_LE(blocks_with_space(), kMany + 201 + kOfItsOwn);
}

TEST_F(DiskAhead, ItGoesBackWhenTheDiskIsClosed) {
  ASSERT_TRUE(disk_->close());
  EXPECT_LE(blocks_with_space(), kMany + 200 + kOfItsOwn);
}

// Lets something happen when bytes are written, before that is known.
class BehindWriteOs : public WrapOs {
 public:
  std::function<void()> behind_write;

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    OVL_TRY(WrapOs::pwrite(fd, bytes, offset));
    if (behind_write)
      std::exchange(behind_write, {})();
    return {};
  }
};

// A quota is reached: some of what was asked for is taken.
class HalfTakingOs : public WrapOs {
 public:
  Status take_space(int fd, uint64_t offset, uint64_t length) override {
    OVL_TRY(WrapOs::take_space(fd, offset, length / 2));
    return system_error(EDQUOT, "fallocate");
  }
};

TEST_F(DiskAhead, WhatWasTakenBeforeAnErrorGoesBack) {
  HalfTakingOs os;
  disk_ = Disk::create(os, dir_.get(), base_, 7, options()).value();
  write_all();
  EXPECT_GE(blocks_with_space(), kMany + 400);
  ASSERT_TRUE(disk_->close());
  EXPECT_LE(blocks_with_space(), kMany + 200 + kOfItsOwn);
}

TEST_F(DiskAhead, ItDoesNotGoBackWithBlocksThatAreBeingPlaced) {
  BehindWriteOs os;
  disk_ = Disk::create(os, dir_.get(), base_, 7, options()).value();
  write_all();
  ASSERT_TRUE(disk_->fold());
  int passes = 0;
  os.behind_write = [&] {
    for (; passes < 3; ++passes)
      ASSERT_TRUE(disk_->fold());
  };
  constexpr uint64_t kBlock = 970;  // in a chunk with others
  write(kBlock, 20);
  EXPECT_EQ(passes, 3);
  std::vector<std::byte> bytes(size_t{20} * kBlockSize);
  ASSERT_TRUE(disk_->read(kBlock * kBlockSize, bytes));
  EXPECT_TRUE(bytes ==
              std::vector<std::byte>(
                  bytes.size(), static_cast<std::byte>('a' + kBlock % 26)));
}

// Some file systems keep space behind the end of a file.
TEST_F(DiskAhead, SpaceBehindTheEndIsNoBlockOfTheDevice) {
  disk_.reset();
  const Fd file(::open(temp_.path("blocks").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(kBlocks * kBlockSize), 1 << 20),
            0);
  const auto ranges = allocated_ranges(file.get());
  ASSERT_TRUE(ranges);
  for (const BlockRange& range : *ranges)
    EXPECT_LE(range.end(), kBlocks);
  disk_ = Disk::open(host_os(), dir_.get(), base_, 7, options()).value();
  ASSERT_TRUE(disk_->fold());
  check();
}

TEST_F(DiskAhead, ItGoesBackAfterAKill) {
  const uint64_t before = blocks_with_space();
  disk_ = Disk::open(host_os(), dir_.get(), base_, 7, options()).value();
  EXPECT_EQ(blocks_with_space(), before);
  check();
  ASSERT_TRUE(disk_->fold());
  check();
  EXPECT_LE(blocks_with_space(), kMany + 200 + kOfItsOwn);
}

}  // namespace
}  // namespace ovl
