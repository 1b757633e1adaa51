// SPDX-License-Identifier: BSD-3-Clause
//
// Stories of the log: what counts after a crash, what is refused, and what a
// flush may share. Each failure that a rule of the log prevents has one.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>

#include "fsengine/base/read_at.h"
#include "fsengine/store/log_format.h"
#include "tests/support/disk_world.h"
#include "tests/support/recording_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kBlocks = 256;
constexpr uint64_t kFingerprint = 5;

class DiskLog : public ::testing::Test {
 protected:
  DiskOptions options() {
    DiskOptions options;
    options.segment_blocks = 64;
    options.provider = &provider_;
    options.log_bytes = uint64_t{64} << 20;
    options.report = [this](const std::string& line) {
      reports_.push_back(line);
    };
    return options;
  }
  void create(Os& os = host_os()) {
    disk_ =
        Disk::create(os, dir_.get(), base_, kFingerprint, options()).value();
  }
  void kill() { disk_.reset(); }
  Status open(Os& os = host_os()) {
    disk_.reset();
    auto disk = Disk::open(os, dir_.get(), base_, kFingerprint, options());
    if (!disk)
      return tl::unexpected(disk.error());
    disk_ = std::move(*disk);
    return {};
  }
  Status write(uint64_t block, char letter,
               Durability durability = Durability::kLazy) {
    return disk_->write(block * kBlockSize,
                        Bytes(kBlockSize, static_cast<std::byte>(letter)),
                        durability);
  }
  char letter_at(uint64_t block) {
    Bytes bytes(kBlockSize);
    EXPECT_TRUE(disk_->read(block * kBlockSize, bytes));
    EXPECT_TRUE(bytes == Bytes(kBlockSize, bytes[0]));
    return static_cast<char>(bytes[0]);
  }

  // The log's bytes, behind the disk's back.
  std::string segment_path(uint32_t number = 0) const {
    return temp_.path("log/" + std::to_string(number));
  }
  void change_byte(const std::string& path, uint64_t offset) {
    const Fd fd(::open(path.c_str(), O_RDWR));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  }
  // Record n of the first segment, from 0 on.
  static uint64_t head_offset(uint64_t n) {
    return kBlockSize + n * kRecordHeadBytes;
  }

  TempDir temp_;
  Fd dir_ = open_dir(temp_.path());
  LetterBase base_{kBlocks};
  LetterBase provider_{kBlocks, 'a'};
  std::vector<std::string> reports_;
  std::unique_ptr<Disk> disk_;
};

TEST_F(DiskLog, AcknowledgedWritesOutliveAKill) {
  create();
  ASSERT_TRUE(write(3, 'x'));
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(3), 'x');
}

TEST_F(DiskLog, TornTailIsCut) {
  create();
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  ASSERT_TRUE(write(2, 'b'));
  kill();
  change_byte(segment_path(), head_offset(1) + 20);
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
  EXPECT_EQ(letter_at(2), 'C');
}

TEST_F(DiskLog, TornPayloadIsCut) {
  create();
  ASSERT_TRUE(write(1, 'a'));
  kill();
  change_byte(segment_path(), 2 * kBlockSize + 77);
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'B');
}

TEST_F(DiskLog, DamageBelowADurableRecordIsRefusedAndNothingTouched) {
  create();
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  ASSERT_TRUE(write(2, 'b'));  // says that the first one is durable
  kill();
  change_byte(segment_path(), head_offset(0) + 20);
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EUCLEAN);
  EXPECT_THAT(refused.error().what(), HasSubstr("log/0"));
  change_byte(segment_path(), head_offset(0) + 20);
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(2), 'b');
}

// Power cuts write the pages of a tail in any order: a valid record behind an
// invalid one is no damage as long as nothing says that it was on disk.
TEST_F(DiskLog, TailPersistedOutOfOrderIsNoDamage) {
  create();
  ASSERT_TRUE(write(1, 'a'));
  ASSERT_TRUE(write(2, 'b'));
  ASSERT_TRUE(write(3, 'c'));
  kill();
  change_byte(segment_path(), head_offset(0) + 20);
  ASSERT_TRUE(open());
  for (const uint64_t block : {1U, 2U, 3U})
    EXPECT_EQ(letter_at(block), static_cast<char>('A' + block));
}

// The record behind the cut has the number that comes next: it must not come
// back once that number is given again.
TEST_F(DiskLog, StaleRecordBehindTheCutNeverComesBack) {
  create();
  ASSERT_TRUE(write(1, 'a'));
  ASSERT_TRUE(write(2, 'b'));
  ASSERT_TRUE(write(3, 'c'));
  kill();
  change_byte(segment_path(), head_offset(1) + 20);
  ASSERT_TRUE(open());
  ASSERT_TRUE(write(4, 'd'));  // record 2 once more, in a new incarnation
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
  EXPECT_EQ(letter_at(3), 'D');
  EXPECT_EQ(letter_at(4), 'd');
}

TEST_F(DiskLog, GuestBytesThatLookLikeRecordsAreNone) {
  create();
  Bytes block(kBlockSize);
  for (uint64_t i = 0; i < kHeadsInBlock; ++i) {
    const RecordHead fake{RecordKind::kZero, Position{i + 2}, BlockNo{0}, 200,
                          Position{i + 9}};
    std::ranges::copy(encode(fake, 0),
                      block.begin() + static_cast<ptrdiff_t>(i * 64));
  }
  ASSERT_TRUE(disk_->write(0, block, Durability::kLazy));
  ASSERT_TRUE(write(1, 'a'));
  kill();
  change_byte(segment_path(), head_offset(1) + 20);
  ASSERT_TRUE(open());
  Bytes back(kBlockSize);
  ASSERT_TRUE(disk_->read(0, back));
  EXPECT_TRUE(back == block);
  EXPECT_EQ(letter_at(1), 'B');
}

TEST_F(DiskLog, MissingSegmentIsRefused) {
  create();
  for (uint64_t i = 0; i < 150; ++i)
    ASSERT_TRUE(write(i % 30, 'x',
                      i == 140 ? Durability::kDurable : Durability::kLazy));
  kill();
  fs::remove(segment_path(1));
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EUCLEAN);
}

TEST_F(DiskLog, TwoSegmentsWithOneNumberAreRefused) {
  create();
  ASSERT_TRUE(write(1, 'a'));
  kill();
  fs::copy(segment_path(0), segment_path(7));
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EUCLEAN);
}

TEST_F(DiskLog, UnknownVersionsAreRefusedAndNothingTouched) {
  create();
  ASSERT_TRUE(write(1, 'a'));
  kill();
  // A version is hashed like all else; the hash is at the end of what it
  // covers.
  const auto set_version = [](const std::string& path, uint64_t at,
                              size_t hashed) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes(hashed, '\0');
    file.seekg(static_cast<std::streamoff>(at));
    file.read(bytes.data(), static_cast<std::streamsize>(hashed));
    bytes[8] = static_cast<char>(bytes[8] ^ 2);
    const uint64_t hash = XXH64(bytes.data(), hashed, 0);
    file.seekp(static_cast<std::streamoff>(at));
    file.write(bytes.data(), static_cast<std::streamsize>(hashed));
    file.write(reinterpret_cast<const char*>(&hash), sizeof(hash));
  };
  set_version(segment_path(), 0, 56);
  EXPECT_EQ(open().error().code(), EPROTO);
  set_version(segment_path(), 0, 56);
  set_version(temp_.path("mark"), 0, 88);
  EXPECT_EQ(open().error().code(), EPROTO);
  set_version(temp_.path("mark"), 0, 88);
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
}

TEST_F(DiskLog, AnotherBaseIsRefused) {
  create();
  kill();
  const auto disk =
      Disk::open(host_os(), dir_.get(), base_, kFingerprint + 1, options());
  ASSERT_FALSE(disk);
  EXPECT_EQ(disk.error().code(), ESTALE);
}

TEST_F(DiskLog, TornMarkLeavesTheOneBefore) {
  create();
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  kill();
  // Two changes so far: making it, and the opened segment.
  change_byte(temp_.path("mark"), 0 * 4096 + 40);
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
  kill();
  change_byte(temp_.path("mark"), 1 * 4096 + 40);
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EUCLEAN);
}

// A placed record tells only the hash of what stands in the store.
TEST_F(DiskLog, PlacedRecordWithoutItsBytesIsTheTornTail) {
  create();
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  const Bytes large(20 * kBlockSize, std::byte{'p'});
  ASSERT_TRUE(disk_->write(40 * kBlockSize, large, Durability::kLazy));
  ASSERT_TRUE(write(2, 'b'));
  kill();
  change_byte(temp_.path("blocks"), 45 * kBlockSize);
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
  EXPECT_EQ(letter_at(45), static_cast<char>('A' + 45 % 26));
  EXPECT_EQ(letter_at(2), 'C');
}

TEST_F(DiskLog, PlacedBlocksAreOverwrittenThroughTheLog) {
  create();
  const Bytes large(20 * kBlockSize, std::byte{'p'});
  ASSERT_TRUE(disk_->write(40 * kBlockSize, large, Durability::kLazy));
  ASSERT_TRUE(write(45, 'q'));
  EXPECT_EQ(letter_at(45), 'q');
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(44), 'p');
  EXPECT_EQ(letter_at(45), 'q');
  ASSERT_TRUE(disk_->fold());
  EXPECT_EQ(letter_at(44), 'p');
  EXPECT_EQ(letter_at(45), 'q');
}

// Neither a placed record nor one of zeros takes room for bytes, so both may
// stand at the same place of the log: the later one counts.
TEST_F(DiskLog, ZerosRightBehindAPlacedRecordAreZeros) {
  create();
  constexpr uint64_t kCount = 100;
  const Bytes large(kCount * kBlockSize, std::byte{'p'});
  ASSERT_TRUE(disk_->write(10 * kBlockSize, large, Durability::kLazy));
  ASSERT_TRUE(
      disk_->zero(10 * kBlockSize, kCount * kBlockSize, Durability::kLazy));
  const auto check = [&] {
    for (uint64_t block = 10; block < 10 + kCount; ++block)
      ASSERT_EQ(letter_at(block), '\0') << block;
  };
  check();
  kill();
  ASSERT_TRUE(open());
  check();
  ASSERT_TRUE(disk_->fold());
  check();
}

TEST_F(DiskLog, ZerosOverZerosOfTheBaseLeaveNothing) {
  create();
  const uint64_t half = kBlocks / 2;
  ASSERT_TRUE(
      disk_->zero(half * kBlockSize, half * kBlockSize, Durability::kLazy));
  EXPECT_EQ(disk_->last(), Position{});
  ASSERT_TRUE(write(half + 3, 'x'));
  ASSERT_TRUE(
      disk_->zero(half * kBlockSize, half * kBlockSize, Durability::kLazy));
  ASSERT_TRUE(disk_->fold());
  EXPECT_EQ(disk_->store().map().count(), 0U);
  EXPECT_EQ(letter_at(half + 3), '\0');
}

TEST_F(DiskLog, ATrimIsOneRecordHoweverLong) {
  constexpr uint64_t kTrimmed = uint64_t{100} << 30;
  const LetterBase base(4 * kTrimmed / kBlockSize);  // the first half letters
  RecordingOs os(temp_.path());
  disk_ = Disk::create(os, dir_.get(), base, kFingerprint, options()).value();
  ASSERT_TRUE(write(0, 'a'));
  const Position before = disk_->last();
  const size_t operations = os.ops().size();
  ASSERT_TRUE(disk_->zero(kBlockSize, kTrimmed, Durability::kLazy));
  EXPECT_EQ(disk_->last(), next(before));
  ASSERT_EQ(os.ops().size(), operations + 1);
  EXPECT_EQ(os.ops().back().bytes.size(), kRecordHeadBytes);
  const auto check = [&](const Disk& disk) {
    const auto sector = [&](uint64_t block) {
      Bytes bytes(kSectorBytes);
      EXPECT_TRUE(disk.read(block * kBlockSize, bytes));
      return static_cast<char>(bytes[0]);
    };
    EXPECT_EQ(sector(0), 'a');
    for (const uint64_t block :
         {uint64_t{1}, kTrimmed / 8 / kBlockSize, kTrimmed / kBlockSize})
      EXPECT_EQ(sector(block), '\0') << block;
    const uint64_t behind = kTrimmed / kBlockSize + 1;
    EXPECT_EQ(sector(behind), static_cast<char>('A' + behind % 26));
  };
  check(*disk_);
  kill();
  disk_ =
      Disk::open(host_os(), dir_.get(), base, kFingerprint, options()).value();
  check(*disk_);
  kill();
}

TEST_F(DiskLog, TrimmedSpaceGoesBackToTheHost) {
  create();
  const Bytes large(32 * kBlockSize, std::byte{'p'});
  ASSERT_TRUE(disk_->write(0, large, Durability::kLazy));
  ASSERT_TRUE(disk_->fold());
  const auto allocated = [this] {
    struct stat st {};
    EXPECT_EQ(::stat(temp_.path("blocks").c_str(), &st), 0);
    return st.st_blocks;
  };
  ASSERT_TRUE(disk_->flush());
  ASSERT_GE(allocated(), 32 * 8);
  ASSERT_TRUE(disk_->zero(0, 32 * kBlockSize, Durability::kLazy));
  ASSERT_TRUE(disk_->fold());
  EXPECT_LT(allocated(), 8);
}

TEST_F(DiskLog, SealedViewStaysWhileAllElseGoesOn) {
  create();
  ASSERT_TRUE(write(1, 'a'));
  auto view = disk_->seal().value();
  ASSERT_TRUE(write(1, 'b'));
  ASSERT_TRUE(write(2, 'c'));
  EXPECT_EQ(disk_->fold().error().code(), EBUSY);
  Bytes bytes(2 * kBlockSize);
  ASSERT_TRUE(view->read(kBlockSize, bytes));
  EXPECT_EQ(bytes[0], std::byte{'a'});
  EXPECT_EQ(bytes[kBlockSize], std::byte{'C'});
  EXPECT_EQ(letter_at(1), 'b');
  view.reset();
  ASSERT_TRUE(disk_->fold());
  EXPECT_EQ(letter_at(1), 'b');
}

// What upper provides leaves the store; what was written since stays.
TEST_F(DiskLog, ProvidedBlocksAreUppers) {
  create();
  ASSERT_TRUE(write(1, 'b'));  // as the provider has it
  ASSERT_TRUE(disk_->fold());
  ASSERT_TRUE(write(2, 'c'));
  ASSERT_TRUE(write(3, 'd'));
  {
    const auto view = disk_->seal().value();
    ASSERT_TRUE(write(2, 'n'));
    const Disk::Range range{BlockNo{1}, 3};
    ASSERT_TRUE(disk_->provide(*view, {&range, 1}));
    EXPECT_EQ(disk_->store().map().count(), 0U);
  }
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(letter_at(1), 'b');
    EXPECT_EQ(letter_at(2), 'n');
    EXPECT_EQ(letter_at(3), 'd');
    kill();
    ASSERT_TRUE(open());
    ASSERT_TRUE(disk_->fold());
  }
  EXPECT_EQ(disk_->store().map().count(), 1U);
  EXPECT_EQ(disk_->store().provided().count(), 2U);
}

// What is written is not upper's any more, whatever becomes of it.
TEST_F(DiskLog, ProvidedBlocksThatAreWrittenAreNot) {
  create();
  ASSERT_TRUE(write(1, 'b'));
  const uint64_t zeros = kBlocks / 2;
  ASSERT_TRUE(write(zeros, 'x'));
  {
    const auto view = disk_->seal().value();
    const Disk::Range ranges[] = {{BlockNo{1}, 1}, {BlockNo{zeros}, 1}};
    ASSERT_TRUE(disk_->provide(*view, ranges));
  }
  ASSERT_TRUE(write(1, 'n'));
  ASSERT_TRUE(disk_->zero(zeros * kBlockSize, kBlockSize, Durability::kLazy));
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(letter_at(1), 'n');
    EXPECT_EQ(letter_at(zeros), '\0');
    ASSERT_TRUE(disk_->fold());
    EXPECT_EQ(disk_->store().provided().count(), 0U);
    kill();
    ASSERT_TRUE(open());
  }
}

// What a guest placed since the view is not what the provider has.
TEST_F(DiskLog, WhatWasPlacedSinceStaysInItsPlace) {
  create();
  ASSERT_TRUE(write(100, 'x'));
  constexpr uint64_t kCount = 32;  // many are placed at once
  const std::string text(kCount * kBlockSize, 'n');
  {
    const auto view = disk_->seal().value();
    ASSERT_TRUE(
        disk_->write(0, std::as_bytes(std::span(text)), Durability::kLazy));
    const Disk::Range range{BlockNo{0}, 2 * kCount};
    ASSERT_TRUE(disk_->provide(*view, {&range, 1}));
  }
  ASSERT_TRUE(disk_->fold());
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(letter_at(0), 'n');
    EXPECT_EQ(letter_at(kCount - 1), 'n');
    EXPECT_EQ(letter_at(kCount), 'a' + kCount % 26);
    kill();
    ASSERT_TRUE(open());
  }
}

// Bytes that were placed and are provided now have their space given back, also
// after a kill.
TEST_F(DiskLog, TheSpaceOfProvidedBlocksIsGivenBack) {
  create();
  constexpr uint64_t kCount = 32;  // many are placed at once
  std::string text;
  for (uint64_t block = 0; block < kCount; ++block)
    text += std::string(kBlockSize, static_cast<char>('a' + block % 26));
  ASSERT_TRUE(
      disk_->write(0, std::as_bytes(std::span(text)), Durability::kLazy));
  {
    const auto view = disk_->seal().value();
    const Disk::Range range{BlockNo{0}, kCount};
    ASSERT_TRUE(disk_->provide(*view, {&range, 1}));
  }
  kill();
  ASSERT_TRUE(open());
  ASSERT_TRUE(disk_->fold());
  EXPECT_EQ(letter_at(kCount - 1), 'a' + (kCount - 1) % 26);
  struct stat st {};
  ASSERT_EQ(::stat(temp_.path("blocks").c_str(), &st), 0);
  EXPECT_EQ(st.st_blocks, 0);
}

TEST_F(DiskLog, EmptyFlushCostsNoSync) {
  RecordingOs os(temp_.path());
  create(os);
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  const size_t before = os.ops().size();
  ASSERT_TRUE(disk_->flush());
  ASSERT_TRUE(disk_->flush());
  EXPECT_EQ(os.ops().size(), before);
}

TEST_F(DiskLog, NewSegmentsNameIsDurableBeforeItsFirstRecord) {
  RecordingOs os(temp_.path());
  create(os);
  for (uint64_t i = 0; i < 200; ++i)
    ASSERT_TRUE(write(i % 20, 'x'));
  bool is_durable = true;
  uint64_t created = 0;
  int segments = 0;
  int heads = 0;
  for (const RecordedOp& op : os.ops()) {
    if (op.kind == RecordedOp::Kind::kCreate && op.dir == "log") {
      is_durable = false;
      created = op.file;
      ++segments;
    }
    if (op.kind == RecordedOp::Kind::kSyncDir && op.dir == "log")
      is_durable = true;
    const bool is_head =
        op.file == created && op.bytes.size() == kRecordHeadBytes;
    EXPECT_TRUE(is_durable || !is_head);
    heads += is_head ? 1 : 0;
  }
  EXPECT_GE(segments, 3);
  EXPECT_GE(heads, 200);
}

// Blocks the first fdatasync until it is told to go on.
class SlowSyncOs : public WrapOs {
 public:
  Status fdatasync(int fd) override {
    ++syncs;
    std::unique_lock lock(mutex);
    waiting = true;
    changed.notify_all();
    changed.wait(lock, [this] { return go_on; });
    return WrapOs::fdatasync(fd);
  }
  void wait_until_syncing() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return waiting; });
  }
  void release() {
    const std::lock_guard lock(mutex);
    go_on = true;
    changed.notify_all();
  }

  std::atomic<int> syncs = 0;
  std::mutex mutex;
  std::condition_variable changed;
  bool waiting = false;
  bool go_on = true;
};

// A flush whose record came after a sync had begun needs one of its own; all
// who came meanwhile share it. And while it runs, writers and readers go on.
TEST_F(DiskLog, FlushSharesOnlyASyncThatBeganAfterItsRecord) {
  SlowSyncOs os;
  create(os);
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  os.go_on = false;
  os.waiting = false;
  os.syncs = 0;
  ASSERT_TRUE(write(2, 'b'));
  std::thread first([this] { EXPECT_TRUE(disk_->flush()); });
  os.wait_until_syncing();
  ASSERT_TRUE(write(3, 'c'));
  EXPECT_EQ(letter_at(3), 'c');
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i)
    others.emplace_back([this] { EXPECT_TRUE(disk_->flush()); });
  os.release();
  first.join();
  for (std::thread& other : others)
    other.join();
  EXPECT_EQ(os.syncs, 2);
}

// Holds up the write of a payload of 'a's until it is told to go on.
class SlowWriteOs : public WrapOs {
 public:
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    if (bytes.size() == kBlockSize && bytes[0] == std::byte{'a'}) {
      std::unique_lock lock(mutex);
      is_held = true;
      changed.notify_all();
      changed.wait(lock, [this] { return go_on; });
    }
    return WrapOs::pwrite(fd, bytes, offset);
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool is_held = false;
  bool go_on = false;
};

// A is not complete when B comes: whatever B was told then must be true of what
// a kill at this moment leaves.
TEST_F(DiskLog, NoAcknowledgementOverAHole) {
  SlowWriteOs os;
  create(os);
  std::atomic<bool> b_is_acknowledged = false;
  std::thread a([this] { EXPECT_TRUE(write(1, 'a')); });
  {
    std::unique_lock lock(os.mutex);
    os.changed.wait(lock, [&os] { return os.is_held; });
  }
  std::thread b([&] {
    EXPECT_TRUE(write(2, 'b'));
    b_is_acknowledged = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const bool was_acknowledged = b_is_acknowledged;
  TempDir copy;
  fs::copy(temp_.path(), copy.path(), fs::copy_options::recursive);
  {
    const std::lock_guard lock(os.mutex);
    os.go_on = true;
    os.changed.notify_all();
  }
  a.join();
  b.join();
  const Fd dir = open_dir(copy.path());
  const auto left =
      Disk::open(host_os(), dir.get(), base_, kFingerprint, options());
  ASSERT_TRUE(left) << left.error().what();
  Bytes block(kBlockSize);
  ASSERT_TRUE((*left)->read(2 * kBlockSize, block));
  EXPECT_TRUE(!was_acknowledged || block[0] == std::byte{'b'});
  EXPECT_EQ(letter_at(1), 'a');
  EXPECT_EQ(letter_at(2), 'b');
}

class FailSyncOs : public WrapOs {
 public:
  Status fdatasync(int fd) override {
    return fails ? system_error(EIO, "fdatasync") : WrapOs::fdatasync(fd);
  }
  std::atomic<bool> fails = false;
};

TEST_F(DiskLog, AfterAFailedSyncNothingIsAcknowledgedAndReadsGoOn) {
  FailSyncOs os;
  create(os);
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  ASSERT_TRUE(write(2, 'b'));
  os.fails = true;
  EXPECT_FALSE(disk_->flush());
  os.fails = false;
  const auto again = disk_->flush();
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().what(), HasSubstr("an earlier sync failed"));
  EXPECT_FALSE(write(3, 'c'));
  EXPECT_FALSE(disk_->fold());
  EXPECT_EQ(letter_at(2), 'b');
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
}

// Holds up what is written to the places of blocks in the store.
class SlowFoldOs : public WrapOs {
 public:
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    const fs::path path =
        fs::read_symlink("/proc/self/fd/" + std::to_string(fd));
    if (path.filename() == "blocks") {
      is_held = true;
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return go_on; });
    }
    return WrapOs::pwrite(fd, bytes, offset);
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool go_on = false;
  std::atomic<bool> is_held = false;
};

// Folding and placing share a file, whose lost pages the kernel tells of once.
TEST_F(DiskLog, AFailedSyncWhileFoldingFailsTheNextFlush) {
  class FailFoldOs : public WrapOs {
   public:
    Status fdatasync(int fd) override {
      const fs::path path =
          fs::read_symlink("/proc/self/fd/" + std::to_string(fd));
      if (fails && path.filename() == "blocks")
        return system_error(EIO, "fdatasync");
      return WrapOs::fdatasync(fd);
    }
    std::atomic<bool> fails = false;
  } os;
  create(os);
  ASSERT_TRUE(write(1, 'a', Durability::kDurable));
  os.fails = true;
  EXPECT_FALSE(disk_->fold());
  os.fails = false;
  EXPECT_FALSE(disk_->flush());
  EXPECT_EQ(letter_at(1), 'a');
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'a');
}

// A block is being placed when others write and trim it, and that is folded:
// the record of the placed one must not be told over a hole.
TEST_F(DiskLog, FoldingWaitsForThoseWhoPlace) {
  SlowFoldOs os;
  create(os);
  const uint64_t first = kBlocks / 2 + 10;
  const Bytes large(20 * kBlockSize, std::byte{'p'});
  std::thread placing([&] {
    EXPECT_TRUE(disk_->write(first * kBlockSize, large, Durability::kLazy));
  });
  while (!os.is_held)
    std::this_thread::yield();
  ASSERT_TRUE(write(first + 3, 'x'));
  ASSERT_TRUE(
      disk_->zero((first + 3) * kBlockSize, kBlockSize, Durability::kLazy));
  std::thread folding([this] { EXPECT_TRUE(disk_->fold()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  {
    const std::lock_guard lock(os.mutex);
    os.go_on = true;
    os.changed.notify_all();
  }
  placing.join();
  folding.join();
  ASSERT_TRUE(write(1, 'z', Durability::kDurable));
  const char there = letter_at(first + 3);
  EXPECT_TRUE(there == 'p' || there == '\0');
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(first + 3), there);
  EXPECT_EQ(letter_at(first + 4), 'p');
  EXPECT_EQ(letter_at(1), 'z');
}

// Refuses to make files larger once it is full, like a full disk.
class FullOs : public WrapOs {
 public:
  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    if (is_full && (flags & O_CREAT) != 0)
      return system_error(ENOSPC, "open");
    return WrapOs::open_file(at, flags, mode);
  }
  std::atomic<bool> is_full = false;
};

// A full log is folded before the guest hears of a full disk.
TEST_F(DiskLog, FullDiskIsFoldedFirst) {
  FullOs os;
  create(os);
  ASSERT_TRUE(write(0, 'a'));
  os.is_full = true;
  for (uint64_t i = 0; i < 400; ++i)
    ASSERT_TRUE(write(i % 20, static_cast<char>('a' + i % 26))) << i;
  EXPECT_GT(disk_->mark().folded, Position{100});
  EXPECT_EQ(letter_at(19), static_cast<char>('a' + 399 % 26));
}

TEST_F(DiskLog, FullDiskWithoutFoldingIsToldAndLosesNothing) {
  FullOs os;
  create(os);
  ASSERT_TRUE(write(0, 'a'));
  auto view = disk_->seal().value();  // forbids folding what follows
  os.is_full = true;
  uint64_t written = 0;
  Status status;
  while ((status = write(written % 20, static_cast<char>('a' + written % 26))))
    ++written;
  EXPECT_EQ(status.error().code(), ENOSPC);
  ASSERT_GT(written, 20U);
  EXPECT_TRUE(disk_->flush());
  const auto check_all = [&] {
    for (uint64_t i = written - 20; i < written; ++i)
      EXPECT_EQ(letter_at(i % 20), static_cast<char>('a' + i % 26));
  };
  check_all();
  os.is_full = false;
  ASSERT_TRUE(write(30, 'z', Durability::kDurable));
  EXPECT_EQ(letter_at(30), 'z');
  view.reset();
  kill();
  ASSERT_TRUE(open());
  check_all();
}

// It may have to grow while it cannot be folded, and is to be small again.
TEST_F(DiskLog, ALogThatGrewBeyondItsBoundGivesItsFilesBack) {
  DiskOptions bounded = options();
  bounded.log_bytes = 4 * 64 * kBlockSize;
  disk_ =
      Disk::create(host_os(), dir_.get(), base_, kFingerprint, bounded).value();
  const auto files = [this] {
    return std::distance(fs::directory_iterator(temp_.path("log")), {});
  };
  ASSERT_TRUE(write(0, 'a'));
  auto view = disk_->seal().value();
  for (uint64_t i = 0; i < 800; ++i)
    ASSERT_TRUE(write(i % 20, static_cast<char>('a' + i % 26)));
  EXPECT_GT(files(), 10);
  view.reset();
  ASSERT_TRUE(disk_->fold());
  ASSERT_TRUE(write(1, 'z'));
  ASSERT_TRUE(disk_->fold());
  EXPECT_EQ(files(), 5);
  ASSERT_TRUE(write(2, 'y', Durability::kDurable));
  kill();
  ASSERT_TRUE(open());
  EXPECT_EQ(letter_at(1), 'z');
  EXPECT_EQ(letter_at(2), 'y');
}

// The log is bounded by making writers wait, and nobody else.
TEST_F(DiskLog, WritersWaitForFoldingReadersAndFlushesDoNot) {
  SlowFoldOs os;
  DiskOptions bounded = options();
  bounded.log_bytes = 8 * 64 * kBlockSize;
  disk_ = Disk::create(os, dir_.get(), base_, kFingerprint, bounded).value();
  disk_->start_folding();
  constexpr uint64_t kWrites = 3000;  // much more than the bound
  std::atomic<uint64_t> written = 0;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kWrites; ++i, ++written)
      EXPECT_TRUE(write(i % 12, static_cast<char>('a' + i % 26)));
  });
  while (disk_->live_log_bytes() < bounded.log_bytes)
    std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(disk_->flush());
    EXPECT_NE(letter_at(3), 'D');
  }
  EXPECT_LT(written, kWrites);
  {
    const std::lock_guard lock(os.mutex);
    os.go_on = true;
    os.changed.notify_all();
  }
  writer.join();
  EXPECT_EQ(letter_at((kWrites - 1) % 12),
            static_cast<char>('a' + (kWrites - 1) % 26));
  kill();  // it still folds, through `os`
}

}  // namespace
}  // namespace ovl
