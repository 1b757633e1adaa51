// SPDX-License-Identifier: BSD-3-Clause
//
// Random requests, folds, seals and kills against a plain array.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <set>
#include <thread>

#include "tests/support/disk_world.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint64_t kBlocks = 8192;  // 32 MiB
constexpr uint64_t kFingerprint = 7;
constexpr uint64_t kMostSectors = 8192;  // 4 MiB

DiskOptions small() {
  DiskOptions options;
  options.segment_blocks = 300;
  options.log_bytes = uint64_t{8} * options.segment_blocks * kBlockSize;
  options.ahead = {.chunk_blocks = 64,
                   .enough_blocks = 2,
                   .most_chunks = 12,
                   .spare_bytes = 0};
  return options;
}

class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed), expected_(base_.size()) {
    EXPECT_TRUE(base_.read(0, expected_));
    disk_ = Disk::create(host_os(), dir_.get(), base_, kFingerprint, small())
                .value();
  }

  void step() {
    const uint64_t dice = random_() % 1000;
    if (dice < 400)
      write();
    else if (dice < 550)
      zero();
    else if (dice < 570)
      write_and_trim();
    else if (dice < 900)
      read();
    else if (dice < 950)
      EXPECT_TRUE(disk_->flush());
    else if (dice < 970)
      seal();
    else if (dice < 985)
      fold();
    else if (dice < 995)
      reopen();
    else
      close_and_reopen();
  }

  void check_all() {
    Bytes bytes(expected_.size());
    ASSERT_TRUE(disk_->read(0, bytes));
    ASSERT_TRUE(bytes == expected_);
    if (sealed_) {
      ASSERT_TRUE(sealed_->read(0, bytes));
      ASSERT_TRUE(bytes == sealed_bytes_);
    }
  }

 private:
  struct Range {
    uint64_t offset;
    uint64_t length;
  };
  Range some_range() {
    const uint64_t sectors = expected_.size() / kSectorBytes;
    const uint64_t most = random_() % 20 == 0 ? kMostSectors : 40;
    // Half of the requests meet in a small part of the disk.
    const uint64_t first = random_() % (random_() % 2 == 0 ? 2000 : sectors);
    const uint64_t count = std::min(1 + random_() % most, sectors - first);
    return {first * kSectorBytes, count * kSectorBytes};
  }

  Durability some_durability() {
    return random_() % 10 == 0 ? Durability::kDurable : Durability::kLazy;
  }

  void write() { write_to(some_range()); }
  void zero() { make_zeros(some_range()); }
  // A file that is gone at once. Where the base has zeros, folding makes its
  // blocks fresh again.
  void write_and_trim() {
    const uint64_t count = 64 + random_() % 100;
    const uint64_t first = kBlocks / 2 + random_() % (kBlocks / 2 - count);
    const Range range{first * kBlockSize, count * kBlockSize};
    write_to(range);
    make_zeros(range);
    read_from(range);
  }
  void read() { read_from(some_range()); }

  void write_to(Range range) {
    const auto [offset, length] = range;
    Bytes bytes(length);
    for (std::byte& byte : bytes)
      byte = static_cast<std::byte>(random_());
    ASSERT_TRUE(disk_->write(offset, bytes, some_durability()));
    std::ranges::copy(bytes,
                      expected_.begin() + static_cast<ptrdiff_t>(offset));
    note(range);
  }
  void make_zeros(Range range) {
    const auto [offset, length] = range;
    ASSERT_TRUE(disk_->zero(offset, length, some_durability()));
    std::fill_n(expected_.begin() + static_cast<ptrdiff_t>(offset), length,
                std::byte{0});
    note(range);
  }
  void note(Range range) {
    const uint64_t last = (range.offset + range.length - 1) / kBlockSize;
    for (uint64_t block = range.offset / kBlockSize; block <= last; ++block)
      written_.insert(block);
  }
  void read_from(Range range) {
    const auto [offset, length] = range;
    Bytes bytes(length);
    ASSERT_TRUE(disk_->read(offset, bytes));
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(),
                           expected_.begin() + static_cast<ptrdiff_t>(offset)));
  }
  void seal() {
    if (sealed_)
      check_all();
    sealed_.reset();
    if (random_() % 3 == 0)
      return;
    sealed_ = disk_->seal().value();
    sealed_bytes_ = expected_;
    if (random_() % 3 != 0)
      take_written();
  }
  // All that changed is told of, and nothing that was not written.
  void take_written() {
    const auto told = disk_->take_written(*sealed_);
    ASSERT_EQ(told.has_value(), !taken_bytes_.empty());
    std::set<uint64_t> blocks;
    for (const Disk::Range& range : told.value_or(std::vector<Disk::Range>()))
      for (uint64_t i = 0; i < range.count; ++i)
        blocks.insert(to_int(range.first) + i);
    ASSERT_TRUE(std::ranges::includes(written_, blocks));
    for (const uint64_t block : written_)
      ASSERT_TRUE(!told || blocks.contains(block) || is_as_taken(block));
    taken_bytes_ = sealed_bytes_;
    written_.clear();
  }
  bool is_as_taken(uint64_t block) const {
    const auto part = [block](const Bytes& bytes) {
      return std::span(bytes).subspan(block * kBlockSize, kBlockSize);
    };
    return std::ranges::equal(part(taken_bytes_), part(sealed_bytes_));
  }
  void fold() {
    const auto folded = disk_->fold();
    ASSERT_TRUE(folded || (sealed_ && folded.error().code() == EBUSY));
  }
  void reopen() {
    sealed_.reset();
    disk_.reset();
    open();
  }
  void close_and_reopen() {
    sealed_.reset();
    ASSERT_TRUE(disk_->close());
    disk_.reset();
    open();
  }
  void open() {
    auto disk = Disk::open(host_os(), dir_.get(), base_, kFingerprint, small());
    ASSERT_TRUE(disk) << disk.error().what();
    disk_ = std::move(*disk);
    taken_bytes_.clear();
  }

  std::mt19937_64 random_;
  const LetterBase base_{kBlocks};
  const TempDir temp_;
  const Fd dir_ = open_dir(temp_.path());
  Bytes expected_;
  std::unique_ptr<Disk> disk_;
  std::shared_ptr<const DiskView> sealed_;
  Bytes sealed_bytes_;
  std::set<uint64_t> written_;  // blocks, since the disk was asked last
  Bytes taken_bytes_;  // as it was then; empty: not since it was opened
};

// OVL_MODEL_STEPS=N takes fewer (the sanitizer builds).
int steps() {
  const char* steps = std::getenv("OVL_MODEL_STEPS");
  return steps == nullptr ? 10'000 : std::atoi(steps);
}

TEST(DiskModel, RandomStepsAgreeWithAPlainArray) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << std::endl;
  for (const uint64_t seed : {uint64_t{1}, fresh}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Model model(seed);
    for (int i = 0; i < steps(); ++i) {
      model.step();
      if (i % 500 == 0)
        model.check_all();
      if (::testing::Test::HasFatalFailure())
        return;
    }
    model.check_all();
  }
}

// Each writer has sectors of its own in blocks that they share; readers look at
// all of them; the worker folds. What a writer wrote last is what is there.
TEST(DiskModel, WritersOfSharedBlocksAndFoldingAtOnce) {
  const LetterBase base(kBlocks);
  TempDir temp;
  const Fd dir = open_dir(temp.path());
  auto disk =
      Disk::create(host_os(), dir.get(), base, kFingerprint, small()).value();
  disk->start_folding();
  constexpr uint64_t kThreads = 4;
  constexpr uint64_t kShared = 64;
  const auto work = [&](uint64_t thread) {
    std::mt19937_64 random(thread);
    for (int i = 0; i < 600; ++i) {
      const uint64_t block = random() % kShared;
      const Bytes sector(kSectorBytes, static_cast<std::byte>(i % 100 + 1));
      const uint64_t offset = block * kBlockSize + thread * kSectorBytes;
      Bytes back(kSectorBytes);
      ASSERT_TRUE(disk->write(offset, sector, Durability::kLazy));
      ASSERT_TRUE(disk->read(offset, back));
      ASSERT_TRUE(back == sector);
      // And large ones of its own, which are placed, then go to the log.
      const Bytes large(20 * kBlockSize, static_cast<std::byte>(thread + 1));
      const uint64_t at = (1000 + thread * 1000 + random() % 900) * kBlockSize;
      ASSERT_TRUE(disk->write(at, large, Durability::kLazy));
      Bytes large_back(large.size());
      ASSERT_TRUE(disk->read(at, large_back));
      ASSERT_TRUE(large_back == large);
      const bool flushed = i % 50 != 0 || disk->flush();
      ASSERT_TRUE(flushed);
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back(work, thread);
  for (std::thread& thread : threads)
    thread.join();
  Bytes before(disk->size());
  ASSERT_TRUE(disk->read(0, before));
  disk.reset();
  disk = Disk::open(host_os(), dir.get(), base, kFingerprint, small()).value();
  Bytes after(disk->size());
  ASSERT_TRUE(disk->read(0, after));
  EXPECT_TRUE(before == after);
}

// Each has blocks of its own, which it writes one by one and trims, so that
// they are fresh again, while space for all of them is taken and given back.
TEST(DiskModel, WritersOfChunksWhoseSpaceComesAndGoes) {
  const LetterBase base(kBlocks);
  TempDir temp;
  const Fd dir = open_dir(temp.path());
  auto disk =
      Disk::create(host_os(), dir.get(), base, kFingerprint, small()).value();
  constexpr uint64_t kThreads = 3;
  constexpr uint64_t kFirst = kBlocks / 2;
  constexpr uint64_t kRegion = 900;
  std::vector<char> expected(kRegion, '\0');
  std::atomic<uint64_t> at_work = kThreads;
  const auto work = [&](uint64_t thread) {
    std::mt19937_64 random(thread);
    for (int i = 0; i < 3000; ++i) {
      const uint64_t block =
          random() % (kRegion / kThreads) * kThreads + thread;
      const uint64_t offset = (kFirst + block) * kBlockSize;
      const char letter = static_cast<char>('a' + i % 26);
      Bytes bytes(kBlockSize, static_cast<std::byte>(letter));
      EXPECT_TRUE(disk->write(offset, bytes, Durability::kLazy));
      expected[block] = letter;
      if (random() % 3 == 0) {
        EXPECT_TRUE(disk->zero(offset, kBlockSize, Durability::kLazy));
        expected[block] = '\0';
      }
      const uint64_t other =
          random() % (kRegion / kThreads) * kThreads + thread;
      EXPECT_TRUE(disk->read((kFirst + other) * kBlockSize, bytes));
      EXPECT_TRUE(bytes ==
                  Bytes(kBlockSize, static_cast<std::byte>(expected[other])));
    }
    --at_work;
  };
  const Bytes much(2 << 20, std::byte{1});
  EXPECT_TRUE(disk->write(0, much, Durability::kLazy));  // see Disk::place()
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back(work, thread);
  while (at_work > 0)
    EXPECT_TRUE(disk->fold());
  for (std::thread& thread : threads)
    thread.join();
  Bytes bytes(kBlockSize);
  for (uint64_t block = 0; block < kRegion; ++block) {
    ASSERT_TRUE(disk->read((kFirst + block) * kBlockSize, bytes));
    ASSERT_TRUE(bytes ==
                Bytes(kBlockSize, static_cast<std::byte>(expected[block])));
  }
}

// All write the same fresh blocks: whoever is last, each block is one of them.
TEST(DiskModel, WritersOfTheSameFreshBlocksLeaveWholeBlocks) {
  const LetterBase base(kBlocks);
  TempDir temp;
  const Fd dir = open_dir(temp.path());
  auto disk =
      Disk::create(host_os(), dir.get(), base, kFingerprint, small()).value();
  disk->start_folding();
  constexpr uint64_t kCount = 32;
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      const Bytes mine(kCount * kBlockSize,
                       static_cast<std::byte>(200 + thread));
      for (uint64_t i = 0; i < 60; ++i)
        ASSERT_TRUE(
            disk->write(i * kCount * kBlockSize, mine, Durability::kLazy));
    });
  for (std::thread& thread : threads)
    thread.join();
  const auto check = [&] {
    Bytes block(kBlockSize);
    for (uint64_t i = 0; i < 60 * kCount; ++i) {
      ASSERT_TRUE(disk->read(i * kBlockSize, block));
      ASSERT_GE(static_cast<unsigned>(block[0]), 200U);
      ASSERT_TRUE(block == Bytes(kBlockSize, block[0]));
    }
  };
  check();
  disk.reset();
  disk = Disk::open(host_os(), dir.get(), base, kFingerprint, small()).value();
  check();
}

}  // namespace
}  // namespace ovl
