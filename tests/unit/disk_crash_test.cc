// SPDX-License-Identifier: BSD-3-Clause
//
// A scenario's durable operations are recorded once. Then power is cut after
// each of them, with different unsynced ones surviving, and the disk opened
// again: it must be as it was at one point of the scenario, not before the last
// flush. The same with an operation that fails in place of the cut.
//
// OVL_CRASH_STRIDE=N takes every Nth operation only (the sanitizer builds).
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>

#include "tests/support/crash_stride.h"
#include "tests/support/disk_world.h"
#include "tests/support/power_cut.h"
#include "tests/support/recording_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint64_t kBlocks = 256;
constexpr uint64_t kFingerprint = 77;

// What upper provides is not what the base has.
DiskOptions small() {
  static const LetterBase provider(kBlocks, 'a');
  DiskOptions options;
  options.provider = &provider;
  options.segment_blocks = 24;
  options.log_bytes = 6 * options.segment_blocks * kBlockSize;
  return options;
}

// Does something to a disk, and knows what it must hold after each request.
class Scenario {
 public:
  /// `now` tells how many durable operations were done.
  Scenario(Os& os, const std::string& root, std::function<size_t()> now)
      : os_(os), dir_(open_dir(root)), base_(kBlocks), now_(std::move(now)) {
    states_.push_back({0, base_.sectors()});
  }

  struct State {
    size_t since;  // it may be on disk from this operation on
    std::string sectors;
    size_t first = 0;  // what the request changed
    size_t count = 0;
  };
  const std::vector<State>& states() const { return states_; }

  /// How many of the states a loss of power after `operation` operations must
  /// not undo: the last of them is the oldest that is legal.
  size_t flushed_at(size_t operation) const {
    size_t count = 1;
    for (const auto& [done, states] : flushes_)
      if (done <= operation)
        count = std::max(count, states);
    return count;
  }
  /// The same for a kill of the process, which undoes nothing that was
  /// acknowledged.
  size_t acknowledged_at(size_t operation) const {
    size_t count = flushed_at(operation);
    for (const auto& [done, states] : acknowledged_)
      if (done <= operation)
        count = std::max(count, states);
    return count;
  }
  bool was_created_at(size_t operation) const { return created_ <= operation; }
  const BlockSource& base() const { return base_; }

  void run() {
    create();
    for (int round = 0; round < 3; ++round) {
      part_writes(round);
      large_writes(round);
      zeros(round);
      seal_and_fold();
      provide(round);
      overwrites(round);
    }
    end_and_go_on();
  }

  /// The disk may have failed: what it says is what counts.
  std::string sectors() const { return sectors_of(*disk_); }
  Disk* disk() { return disk_.get(); }
  void drop() { disk_.reset(); }

 private:
  void create() {
    auto disk = Disk::create(os_, dir_.get(), base_, kFingerprint, small());
    if (!disk)
      return;
    disk_ = std::move(*disk);
    created_ = now_();
  }

  template <typename Request>
  void request(uint64_t sector, uint64_t count, char letter, Request request) {
    if (!disk_)
      return;
    const size_t before = now_();
    std::string next = states_.back().sectors;
    std::fill_n(next.begin() + static_cast<ptrdiff_t>(sector), count, letter);
    states_.push_back({before, next, sector, count});
    const bool done = request();
    failed_ |= !done;
    if (done)
      acknowledged_.push_back({now_(), states_.size()});
  }
  void write(uint64_t sector, uint64_t count,
             Durability durability = Durability::kLazy) {
    write_letter(sector, count, static_cast<char>('a' + letter_++ % 26),
                 durability);
  }
  void write_letter(uint64_t sector, uint64_t count, char letter,
                    Durability durability) {
    const std::vector<std::byte> bytes(count * kSectorBytes,
                                       static_cast<std::byte>(letter));
    request(sector, count, letter, [&] {
      const auto done = disk_->write(sector * kSectorBytes, bytes, durability);
      if (done && durability == Durability::kDurable)
        note_flush();
      return done.has_value();
    });
  }
  void zero(uint64_t sector, uint64_t count) {
    request(sector, count, '\0', [&] {
      return disk_
          ->zero(sector * kSectorBytes, count * kSectorBytes, Durability::kLazy)
          .has_value();
    });
  }
  void flush() {
    if (disk_ && disk_->flush())
      note_flush();
  }
  void note_flush() {
    look_again();
    flushes_.push_back({now_(), states_.size()});
  }
  // After an error only the sectors tell what was done.
  void look_again() {
    if (failed_)
      states_.push_back({now_(), sectors()});
    failed_ = false;
  }

  void part_writes(int round) {
    for (uint64_t i = 0; i < 6; ++i)
      write(i * 16 + static_cast<uint64_t>(round), 1 + i % 3);
    write(40, 8, Durability::kDurable);
    write(700 + static_cast<uint64_t>(round) * 8, 8);
  }
  void large_writes(int round) {
    const auto at = static_cast<uint64_t>(round) * 160;
    write(800 + at, 160);
    flush();
    write(at, 128);
    write(at + 64, 16);
    flush();
  }
  void zeros(int round) {
    zero(0, 8 + 8 * static_cast<uint64_t>(round));
    zero(3, 2);
    zero(400, 640);
    write(500, 8);
    zero(816, 8);
  }
  void seal_and_fold() {
    if (!disk_)
      return;
    {
      const auto view = disk_->seal();
      if (view)
        write(64, 8);
    }
    write(72, 8);
    (void)disk_->fold();
    write(80, 8);
    flush();
  }
  // Blocks that upper has as the guest wrote them: some in the store, some in
  // the log, one written once more before they are provided.
  void provide(int round) {
    constexpr uint64_t kCount = 4;
    const auto first = 30 + kCount * static_cast<uint64_t>(round);
    for (uint64_t block = first; block < first + kCount; ++block) {
      write_letter(block * kSectorsInBlock, kSectorsInBlock,
                   static_cast<char>('a' + block % 26), Durability::kLazy);
      if (disk_ && block == first + 1)
        (void)disk_->fold();
    }
    provide_blocks({BlockNo{first}, kCount}, first + 2);
    if (disk_)
      (void)disk_->fold();
    write(first * kSectorsInBlock, 3);
    flush();
  }
  // Unless an error left other bytes there, which upper would not have.
  void provide_blocks(Disk::Range range, uint64_t rewritten) {
    if (!disk_ || failed_)
      return;
    const auto view = disk_->seal();
    if (!view)
      return;
    write(rewritten * kSectorsInBlock, kSectorsInBlock);
    (void)disk_->provide(**view, {&range, 1});
  }
  void overwrites(int round) {
    for (uint64_t i = 0; i < 24; ++i)
      write((i * 5 + static_cast<uint64_t>(round)) % 64 * 8, 8);
    // Placed, then overwritten by what the same fold brings there.
    const uint64_t fresh = 1536 + static_cast<uint64_t>(round) * 128;
    write(fresh, 128);
    write(fresh + 8, 8);
    (void)(disk_ && disk_->fold());
    write(801, 6);
  }
  void end_and_go_on() {
    if (!disk_)
      return;
    look_again();
    if (disk_->close())
      note_flush();
    disk_.reset();
    auto disk = Disk::open(os_, dir_.get(), base_, kFingerprint, small());
    if (!disk)
      return;
    disk_ = std::move(*disk);
    write(8, 8);
    flush();
    write(16, 8);
  }

  Os& os_;
  const Fd dir_;
  const LetterBase base_;
  const std::function<size_t()> now_;
  std::unique_ptr<Disk> disk_;
  std::vector<State> states_;
  std::vector<std::pair<size_t, size_t>> flushes_;
  std::vector<std::pair<size_t, size_t>> acknowledged_;
  size_t created_ = SIZE_MAX;
  unsigned letter_ = 0;
  bool failed_ = false;
};

// A request may be several records, one behind the other.
bool is_partly_done(const Scenario::State& before, const Scenario::State& state,
                    const std::string& found) {
  std::string sectors = before.sectors;
  for (size_t at = state.first; at < state.first + state.count; ++at) {
    sectors[at] = state.sectors[at];
    if ((at + 1) % kSectorsInBlock == 0 && sectors == found)
      return true;
  }
  return false;
}

// What the scenario may be found as: `safe` states are not undone, the others
// are in order.
bool is_legal(const Scenario& scenario, size_t operation, size_t safe,
              const std::string& found) {
  const auto& states = scenario.states();
  for (size_t i = safe - 1; i < states.size(); ++i)
    if (states[i].since <= operation &&
        (states[i].sectors == found ||
         (i >= safe && is_partly_done(states[i - 1], states[i], found))))
      return true;
  return false;
}

void write_block(Disk& disk, uint64_t block, char letter) {
  const std::vector<std::byte> bytes(kBlockSize,
                                     static_cast<std::byte>(letter));
  ASSERT_TRUE(disk.write(block * kBlockSize, bytes, Durability::kDurable));
}

// Opened, killed, written to, killed, folded, closed: always the same bytes.
void check_recovery(const std::string& root, const BlockSource& base,
                    const std::function<bool(const std::string&)>& legal) {
  const Fd dir = open_dir(root);
  const auto open = [&] {
    return Disk::open(host_os(), dir.get(), base, kFingerprint, small());
  };
  std::string found;
  {
    const auto disk = open();
    ASSERT_TRUE(disk) << disk.error().what();
    found = sectors_of(**disk);
    ASSERT_TRUE(legal(found)) << found;
  }
  {
    const auto disk = open();
    ASSERT_TRUE(disk) << disk.error().what();
    ASSERT_EQ(sectors_of(**disk), found);
    write_block(**disk, 9, '!');
    std::fill_n(found.begin() + 9 * kSectorsInBlock, kSectorsInBlock, '!');
  }
  {
    const auto disk = open();
    ASSERT_TRUE(disk) << disk.error().what();
    ASSERT_EQ(sectors_of(**disk), found);
    ASSERT_TRUE((*disk)->fold());
    ASSERT_EQ(sectors_of(**disk), found);
    ASSERT_TRUE((*disk)->close());
  }
  const auto disk = open();
  ASSERT_TRUE(disk) << disk.error().what();
  ASSERT_EQ(sectors_of(**disk), found);
}

class DiskCrash : public ::testing::TestWithParam<Survivors> {};

TEST_P(DiskCrash, PowerCutAnywhereLeavesAPrefixBehindTheLastFlush) {
  TempDir temp;
  RecordingOs os(temp.dir("recorded"));
  Scenario scenario(os, temp.path("recorded"),
                    [&os] { return os.ops().size(); });
  scenario.run();
  ASSERT_GT(os.ops().size(), 300U);
  const uint64_t seed = std::random_device()();
  std::cout << os.ops().size() << " operations, seed " << seed << std::endl;
  for (size_t cut = crash_start(); cut <= os.ops().size();
       cut += crash_stride()) {
    if (!scenario.was_created_at(cut))
      continue;
    SCOPED_TRACE("cut after " + std::to_string(cut));
    TempDir after;
    const size_t safe = GetParam() == Survivors::kAll
                            ? scenario.acknowledged_at(cut)
                            : scenario.flushed_at(cut);
    PowerCut(os.ops(), cut, GetParam(), seed + cut).put(after.path());
    check_recovery(after.path(), scenario.base(),
                   [&](const std::string& found) {
                     return is_legal(scenario, cut, safe, found);
                   });
    if (HasFatalFailure())
      return;
  }
}

INSTANTIATE_TEST_SUITE_P(Unsynced, DiskCrash,
                         ::testing::Values(Survivors::kAll, Survivors::kNone,
                                           Survivors::kFirstHalf,
                                           Survivors::kRandom),
                         [](const auto& param) {
                           switch (param.param) {
                             case Survivors::kAll:
                               return "AllKept";
                             case Survivors::kNone:
                               return "AllDropped";
                             case Survivors::kFirstHalf:
                               return "PrefixKept";
                             case Survivors::kRandom:
                               return "RandomAndTorn";
                           }
                           return "";
                         });

// Fails operation `at`.
class FailingOs : public WrapOs {
 public:
  FailingOs(size_t at, int code) : at_(at), code_(code) {}
  size_t count() const { return count_; }

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    if ((flags & O_CREAT) != 0)
      OVL_TRY(next());
    return WrapOs::open_file(at, flags, mode);
  }
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    OVL_TRY(next());
    return WrapOs::pwrite(fd, bytes, offset);
  }
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    OVL_TRY(next());
    return WrapOs::store(file, offset, bytes);
  }
  Status punch_hole(int fd, uint64_t offset, uint64_t length) override {
    OVL_TRY(next());
    return WrapOs::punch_hole(fd, offset, length);
  }
  Status allocate(int fd, uint64_t size) override {
    OVL_TRY(next());
    return WrapOs::allocate(fd, size);
  }
  Status fdatasync(int) override { return next(); }
  Status fsync(int) override { return next(); }
  Status unlink(const At& at) override {
    OVL_TRY(next());
    return WrapOs::unlink(at);
  }

 private:
  Status next() {
    if (count_++ == at_)
      return system_error(code_, "made to fail");
    return {};
  }

  const size_t at_;
  const int code_;
  size_t count_ = 0;
};

class DiskFault : public ::testing::TestWithParam<int> {};

// No state is told for what failed, so each sector is looked at by itself: it
// is one that it has had since the last flush that succeeded.
TEST_P(DiskFault, AnErrorAnywhereLosesNothingThatWasFlushed) {
  size_t operations = 0;
  {
    TempDir temp;
    FailingOs os(SIZE_MAX, GetParam());
    Scenario scenario(os, temp.path(), [&os] { return os.count(); });
    scenario.run();
    operations = os.count();
  }
  ASSERT_GT(operations, 300U);
  for (size_t at = crash_start(); at < operations; at += crash_stride()) {
    SCOPED_TRACE("operation " + std::to_string(at));
    TempDir temp;
    FailingOs os(at, GetParam());
    Scenario scenario(os, temp.path(), [&os] { return os.count(); });
    scenario.run();
    if (scenario.disk() == nullptr)
      continue;
    const std::string now = scenario.sectors();
    const size_t end = os.count();
    scenario.drop();
    const auto& states = scenario.states();
    const auto legal = [&](const std::string& found) {
      if (found.size() != now.size())
        return false;
      for (size_t sector = 0; sector < found.size(); ++sector) {
        bool fits = false;
        for (size_t i = scenario.flushed_at(end) - 1; i < states.size(); ++i)
          fits |= states[i].sectors[sector] == found[sector];
        if (!fits)
          return false;
      }
      return true;
    };
    ASSERT_TRUE(legal(now)) << now;
    check_recovery(temp.path(), scenario.base(), legal);
    if (HasFatalFailure())
      return;
  }
}

INSTANTIATE_TEST_SUITE_P(Errors, DiskFault, ::testing::Values(EIO, ENOSPC),
                         [](const auto& param) {
                           return param.param == EIO ? "EIO" : "ENOSPC";
                         });

}  // namespace
}  // namespace ovl
