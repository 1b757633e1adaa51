// SPDX-License-Identifier: BSD-3-Clause
//
// A large file of a lower is copied before the checkpoint that needs it: once,
// whatever interrupts it, and never what the guest made of it meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "fsengine/base/read_at.h"
#include "tests/support/copy_story.h"
#include "tests/support/stopping_os.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using WatchOs = CopyWatch<StoppingOs>;

// OVL_CRASH_STRIDE=N takes an Nth of the stops (the sanitizer builds).
uint64_t stride() {
  const char* every = std::getenv("OVL_CRASH_STRIDE");
  return every == nullptr ? 1 : std::strtoull(every, nullptr, 10);
}

std::set<uint64_t> common(const std::set<uint64_t>& kept,
                          const std::multiset<uint64_t>& copied) {
  std::set<uint64_t> both;
  std::ranges::set_intersection(kept, copied, std::inserter(both, both.end()));
  return both;
}

class CopiesAheadTest : public ::testing::Test {
 protected:
  // The checkpoint is given up behind so many chunks.
  void interrupt_at(uint64_t chunks) {
    os_.copied.clear();
    os_.before_copy = [chunks](uint64_t chunk) -> Status {
      if (chunk >= chunks)
        return fail(EIO, "interrupted");
      return {};
    };
    EXPECT_FALSE(story_.try_checkpoint());
    os_.before_copy = {};
    os_.copied.clear();
  }
  void begin_and_interrupt() {
    story_.begin();
    story_.work(CopyStory::change_one_byte);
    interrupt_at(3);
    ASSERT_THAT(story_.kept(), SizeIs(3));
  }
  // The end takes time.
  static void check(CopyStory& story, uint64_t stop) {
    story.expect_given("big");
    EXPECT_THAT(CheckpointWorld::difference(story.after, story.world.merged()),
                IsEmpty());
    if (stop % 8 == 0)
      story.check_end();
  }
  void end(const std::string& name = "big") {
    story_.checkpoint();
    story_.expect_given(name);
    story_.check_end();
  }

  WatchOs os_;
  CopyStory story_{os_};
};

TEST_F(CopiesAheadTest, TheCopyBecomesTheFileOfUpper) {
  story_.begin();
  story_.work(CopyStory::change_one_byte);
  ino_t copy = 0;
  os_.before_copy = [&](uint64_t) -> Status {
    for (const auto& entry :
         std::filesystem::directory_iterator(story_.copies())) {
      struct stat st {};
      ::stat((entry.path() / "data").c_str(), &st);
      copy = st.st_ino;
    }
    return {};
  };
  story_.checkpoint();
  EXPECT_EQ(story_.upper("big").st_ino, copy);
  EXPECT_THAT(os_.copied, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_LT(story_.upper("big").st_blocks * 512, CopyStory::kBytes);
  EXPECT_THAT(story_.world.reports, ElementsAre(HasSubstr("lower/big, 5 MiB")));
  end();
}

TEST_F(CopiesAheadTest, WhatIsSmallEnoughIsNotCopiedAhead) {
  story_.world.config().copies.more_than = CopyStory::kBytes;
  story_.begin();
  story_.work(CopyStory::change_one_byte);
  end();
  EXPECT_THAT(os_.copied, IsEmpty());
}

TEST_F(CopiesAheadTest, ARenamedFileIsCopiedAhead) {
  story_.begin();
  story_.work([](GuestFs& fs) { return fs.rename("big", "b/renamed"); });
  story_.checkpoint();
  EXPECT_THAT(os_.copied, SizeIs(6));
  end("b/renamed");
}

TEST_F(CopiesAheadTest, NothingIsReadTwice) {
  begin_and_interrupt();
  end();
  EXPECT_THAT(os_.copied, ElementsAre(3, 4, 5));
}

TEST_F(CopiesAheadTest, ANewServerGoesOn) {
  begin_and_interrupt();
  story_.restart();
  end();
  EXPECT_THAT(os_.copied, ElementsAre(3, 4, 5));
}

// Each durable operation: of the copy, of giving it, of the checkpoint, and of
// removing what is left.
TEST_F(CopiesAheadTest, KilledAnywhereItGoesOn) {
  bool was_stopped = true;
  for (uint64_t stop = 0; was_stopped; stop += stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    CopyStory story(os_);
    story.begin();
    story.work(CopyStory::change_one_byte);
    os_.reset();
    os_.stop_at(stop);
    const Status done = story.try_checkpoint();
    was_stopped = os_.count() > stop;
    os_.reset();
    os_.copied.clear();
    const auto kept = story.kept();
    ASSERT_EQ(done.has_value(), !was_stopped);
    story.restart();
    story.checkpoint();
    ASSERT_THAT(common(kept, os_.copied), IsEmpty());
    ASSERT_LE(os_.copied.size(), CopyStory::kChunks - kept.size());
    check(story, stop);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST_F(CopiesAheadTest, AnErrorThatPassesCostsNoChunk) {
  bool was_stopped = true;
  for (uint64_t stop = 0; was_stopped; stop += stride()) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    CopyStory story(os_);
    story.begin();
    story.work(CopyStory::change_one_byte);
    os_.reset();
    os_.stop_at(stop);
    (void)story.try_checkpoint();
    was_stopped = os_.count() > stop;
    os_.reset();
    os_.copied.clear();
    const auto kept = story.kept();
    story.checkpoint();
    // A record may be there, old or new, and no sync have told so: of one more
    // chunk, or of both that the guest's bytes were about to go to.
    ASSERT_LE(common(kept, os_.copied).size(), 2U);
    check(story, stop);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

Status move_blocks(GuestFs& fs) {
  const Ino ino = OVL_TRY(fs.lookup("big"));
  GuestInode inode = OVL_TRY(fs.read_inode(ino));
  std::swap(inode.fields.i_block[3], inode.fields.i_block[7]);
  return fs.write_inode(ino, inode);
}

// What is in upper under another name is no copy any more: the next attempt
// would write into upper before it counts.
TEST_F(CopiesAheadTest, KilledBehindPublishingItIsNotTakenAgain) {
  namespace fs = std::filesystem;
  std::unique_ptr<CopyStory> story;
  uint64_t stop = UINT64_MAX;
  do {
    story = std::make_unique<CopyStory>(os_);
    story->begin();
    story->work(CopyStory::change_one_byte);
    os_.reset();
    os_.stop_at(stop);
    (void)story->try_checkpoint();
    stop = std::min(stop, os_.count()) - 1;
    os_.reset();
  } while (story->kept().empty());
  ASSERT_TRUE(fs::exists(story->world.path("upper/big")));
  ASSERT_THAT(story->kept(), SizeIs(4));
  EXPECT_EQ(story->upper("big").st_nlink, 2U);
  story->restart();
  story->work(move_blocks);
  os_.cannot_open = "plan";
  EXPECT_FALSE(story->try_checkpoint());
  os_.cannot_open.clear();
  EXPECT_EQ(story->world.merged(), story->before);
  story->checkpoint();
  story->expect_given("big");
  story->check_end();
}

// What the copy got of the guest's is the lower's again, and not in the copy.
TEST_F(CopiesAheadTest, BlocksThatMoveBackAreCopied) {
  story_.begin();
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(CopyStory::change_one_byte(fs));
    return move_blocks(fs);
  });
  os_.cannot_open = "plan";
  EXPECT_FALSE(story_.try_checkpoint());
  os_.cannot_open.clear();
  story_.work(move_blocks);
  end();
}

TEST_F(CopiesAheadTest, TheEndOfARunGoesOn) {
  begin_and_interrupt();
  const Status ended = story_.world.end();
  ASSERT_TRUE(ended) << ended.error().what();
  EXPECT_THAT(os_.copied, ElementsAre(3, 4, 5));
  EXPECT_THAT(CheckpointWorld::difference(story_.after, story_.world.merged()),
              IsEmpty());
  EXPECT_FALSE(story_.has_copies());
}

// What a guest does between two attempts.
struct Between {
  std::string name;
  std::function<Status(GuestFs&)> what;
  const char* file;  // that is in upper then; null: none
};

void PrintTo(const Between& between, std::ostream* out) {
  *out << between.name;
}

const std::string kOverwritten(CopyStory::kBytes, 'o');

Status swap_blocks(GuestFs& fs, const std::string& first,
                   const std::string& second) {
  const Ino a = OVL_TRY(fs.lookup(first));
  const Ino b = OVL_TRY(fs.lookup(second));
  GuestInode one = OVL_TRY(fs.read_inode(a));
  GuestInode two = OVL_TRY(fs.read_inode(b));
  std::swap(one.fields.i_block, two.fields.i_block);
  std::swap(one.fields.i_blocks, two.fields.i_blocks);
  OVL_TRY(fs.write_inode(a, one));
  return fs.write_inode(b, two);
}

const Between kBetween[] = {
    {"Nothing", [](GuestFs&) { return Status(); }, "big"},
    {"Written",
     [](GuestFs& fs) { return fs.write("big", 77, story_bytes("more")); },
     "big"},
    {"Grown",
     [](GuestFs& fs) {
       return fs.write("big", CopyStory::kBytes + 9999, story_bytes("more"));
     },
     "big"},
    {"HoleFilled",
     [](GuestFs& fs) {
       return fs.write("big", CopyStory::kHole, story_bytes(kOverwritten));
     },
     "big"},
    {"Shrunk",
     [](GuestFs& fs) { return fs.truncate("big", 2 * kCopyChunk + 4097); },
     "big"},
    {"ShrunkAndGrown",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.truncate("big", 4097));
       return fs.truncate("big", CopyStory::kBytes + kCopyChunk);
     },
     "big"},
    {"Punched", [](GuestFs& fs) { return fs.punch("big", 5, 300); }, "big"},
    {"Renamed", [](GuestFs& fs) { return fs.rename("big", "b/d/now"); },
     "b/d/now"},
    {"Replaced", [](GuestFs& fs) { return fs.rename("other", "big"); }, "big"},
    {"Linked",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.link("big", "a/link"));
       return fs.unlink("big");
     },
     "a/link"},
    {"MovedWithItsDirectory",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.mkdir("new", 0755));
       OVL_TRY(fs.mkdir("new/inner", 0755));
       return fs.rename("big", "new/inner/big");
     },
     "new/inner/big"},
    {"Deleted", [](GuestFs& fs) { return fs.unlink("big"); }, nullptr},
    {"Overwritten",
     [](GuestFs& fs) { return fs.write("big", 0, story_bytes(kOverwritten)); },
     "big"},
    {"MadeAnew",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.unlink("big"));
       OVL_TRY(fs.make_node("big", S_IFREG | 0640));
       return fs.write("big", 4096, story_bytes(kOverwritten));
     },
     "big"},
    {"BlocksSwapped",
     [](GuestFs& fs) { return swap_blocks(fs, "big", "other"); }, "big"},
    {"BlocksMoved", move_blocks, "big"},
    {"Attributes",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.chmod("big", 0600));
       OVL_TRY(fs.set_mtime("big", {123456, 789}));
       return fs.set_xattr("big", "user.one", "1");
     },
     "big"},
};

class CopiesBetween : public CopiesAheadTest,
                      public ::testing::WithParamInterface<Between> {
 protected:
  void go_on() {
    const auto kept = story_.kept();
    os_.copied.clear();
    const auto before = story_.before;
    story_.work(GetParam().what);
    story_.before = before;
    story_.checkpoint();
    EXPECT_FALSE(story_.has_copies());
    if (GetParam().file != nullptr) {
      EXPECT_EQ(story_.upper(GetParam().file).st_nlink, 1U);
    }
    if (::testing::Test::HasFailure())
      return;
    story_.check_end();
  }
};

TEST_P(CopiesBetween, WhileItIsMade) {
  begin_and_interrupt();
  const auto kept = story_.kept();
  go_on();
  if (GetParam().name != "Replaced" && GetParam().name != "BlocksSwapped") {
    EXPECT_THAT(common(kept, os_.copied), IsEmpty());
  }
}

TEST_P(CopiesBetween, AcrossARestart) {
  begin_and_interrupt();
  story_.restart();
  go_on();
}

// It has bytes and attributes of the file that it was to become.
TEST_P(CopiesBetween, AfterItWasGiven) {
  story_.begin();
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(CopyStory::change_one_byte(fs));
    OVL_TRY(fs.punch("big", 100, 5));
    OVL_TRY(fs.write("big", CopyStory::kHole, story_bytes("in the hole")));
    OVL_TRY(fs.set_xattr("big", "user.gone", "1"));
    return fs.chmod("big", 0);
  });
  // The plan is written behind all that.
  os_.cannot_open = "plan";
  EXPECT_FALSE(story_.try_checkpoint());
  os_.cannot_open.clear();
  EXPECT_THAT(story_.kept(), ElementsAre(1, 2, 4));
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.remove_xattr("big", "user.gone"));
    return fs.chmod("big", 0644);
  });
  go_on();
}

TEST_P(CopiesBetween, NothingIsCopiedForWhatNeedsItNoMore) {
  begin_and_interrupt();
  const std::string& name = GetParam().name;
  go_on();
  if (name == "Deleted" || name == "Overwritten" || name == "MadeAnew" ||
      name == "ShrunkAndGrown") {
    EXPECT_THAT(os_.copied, IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Guest, CopiesBetween, ::testing::ValuesIn(kBetween),
                         [](const auto& param) { return param.param.name; });

// The bytes are those of a file further down.
TEST_F(CopiesAheadTest, AMetacopyFileIsCopiedFromItsSource) {
  if (!is_privileged())
    GTEST_SKIP() << "only root may set the overlay's attributes";
  namespace fs = std::filesystem;
  const std::string above = story_.world.path("above");
  fs::create_directory(above);
  std::ofstream(above + "/big").close();
  fs::resize_file(above + "/big", CopyStory::kBytes);
  ASSERT_EQ(::setxattr((above + "/big").c_str(), "trusted.overlay.metacopy", "",
                       0, 0),
            0);
  auto& lowers = story_.world.config().lowers;
  lowers.insert(lowers.begin(), above);
  begin_and_interrupt();
  story_.restart();
  end();
  EXPECT_THAT(os_.copied, ElementsAre(3, 4, 5));
}

TEST_F(CopiesAheadTest, ADriftedLowerThrowsItAway) {
  namespace fs = std::filesystem;
  begin_and_interrupt();
  const auto time = fs::last_write_time(story_.lower("big"));
  fs::last_write_time(story_.lower("big"), time + std::chrono::seconds(1));
  const Status refused = story_.try_checkpoint();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EIO);
  EXPECT_THAT(refused.error().what(), HasSubstr("lower/big"));
  EXPECT_FALSE(story_.try_checkpoint());
  EXPECT_THAT(story_.kept(), IsEmpty());
  fs::last_write_time(story_.lower("big"), time);
  end();
  EXPECT_THAT(os_.copied, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(CopiesAheadTest, ALowerThatDriftedWhileItWasDownThrowsItAway) {
  namespace fs = std::filesystem;
  begin_and_interrupt();
  const auto time = fs::last_write_time(story_.lower("big"));
  story_.world.kill();
  fs::last_write_time(story_.lower("big"), time + std::chrono::seconds(1));
  ASSERT_TRUE(story_.world.open());
  EXPECT_FALSE(story_.try_checkpoint());
  EXPECT_THAT(story_.kept(), IsEmpty());
  fs::last_write_time(story_.lower("big"), time);
  end();
}

TEST_F(CopiesAheadTest, AStopWaitsForOneSlice) {
  std::atomic<bool> is_begun = false;
  os_.before_copy = [&](uint64_t) -> Status {
    is_begun = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return {};
  };
  story_.world.config().checkpoint = std::chrono::milliseconds(50);
  story_.begin();
  story_.work(CopyStory::change_one_byte);
  ASSERT_TRUE(story_.world.device().start());
  story_.world.device().expect_writes();
  while (!is_begun)
    std::this_thread::yield();
  story_.world.kill();
  EXPECT_THAT(story_.kept(), SizeIs(os_.copied.size()));
  EXPECT_LE(os_.copied.size(), 2U);
  os_.before_copy = {};
  ASSERT_TRUE(story_.world.open());
  end();
  EXPECT_THAT(os_.copied, ElementsAre(0, 1, 2, 3, 4, 5));
}

uint64_t bytes_in(const std::string& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    bytes += entry.file_size();
  return bytes;
}

// No view of the device is held for the time of a copy.
TEST_F(CopiesAheadTest, TheLogIsFoldedMeanwhile) {
  constexpr uint64_t kLogBytes = 1 << 20;
  std::atomic<bool> is_folded = false;
  std::atomic<bool> was_tried = false;
  os_.before_copy = [&](uint64_t) -> Status {
    if (was_tried)
      return {};
    Device& device = story_.world.device();
    const std::vector<std::byte> block(kBlockSize, std::byte{7});
    for (int i = 0; i < 1500; ++i)
      OVL_TRY(device.write(device.size() - kBlockSize, block));
    for (int tries = 0; tries < 300 && !is_folded; ++tries) {
      is_folded = bytes_in(story_.world.path("work/ovl/log")) < 3 * kLogBytes;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    was_tried = true;
    return {};
  };
  story_.world.config().checkpoint = std::chrono::milliseconds(50);
  story_.world.config().disk.log_bytes = kLogBytes;
  story_.begin();
  story_.work(CopyStory::change_one_byte);
  ASSERT_TRUE(story_.world.device().start());
  story_.world.device().expect_writes();
  while (!was_tried)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(is_folded);
  story_.world.kill();
}

// The host's file systems that share space need no copy.
class SharingOs : public WatchOs {
 public:
  uint64_t shared = 0;

  Status share_range(int from, uint64_t from_offset, int to, uint64_t offset,
                     uint64_t length) override {
    shared += length;
    std::vector<std::byte> bytes(length);
    OVL_TRY(read_at(from, from_offset, bytes));
    return WatchOs::pwrite(to, bytes, offset);
  }
};

TEST(CopiesAhead, WhereSpaceIsSharedNothingIsCopiedAhead) {
  SharingOs os;
  CopyStory story(os);
  story.begin();
  story.work(CopyStory::change_one_byte);
  story.checkpoint();
  EXPECT_GT(os.shared, 2 * kCopyChunk);
  EXPECT_THAT(os.copied, SizeIs(1));  // it was tried
  story.expect_given("big");
  story.check_end();
}

TEST_F(CopiesAheadTest, WithoutSpaceItWaitsForSome) {
  story_.begin();
  story_.work(CopyStory::change_one_byte);
  os_.before_copy = [](uint64_t chunk) -> Status {
    if (chunk == 2)
      return system_error(ENOSPC, "write");
    return {};
  };
  const Status refused = story_.try_checkpoint();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ENOSPC);
  EXPECT_THAT(story_.kept(), ElementsAre(0, 1));
  // The end does not try to do the same from the beginning.
  EXPECT_FALSE(story_.world.device().write_back());
  EXPECT_THAT(story_.kept(), ElementsAre(0, 1));
  EXPECT_THAT(os_.copied, SizeIs(2));
  os_.before_copy = {};
  os_.copied.clear();
  story_.restart();
  end();
  EXPECT_THAT(os_.copied, ElementsAre(2, 3, 4, 5));
}

TEST_F(CopiesAheadTest, TheLastSpaceIsTheGuests) {
  story_.world.config().copies.spare_bytes = uint64_t{1} << 60;
  story_.begin();
  story_.work(CopyStory::change_one_byte);
  const Status refused = story_.try_checkpoint();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ENOSPC);
  EXPECT_THAT(os_.copied, IsEmpty());
  const Status ended = story_.world.end();  // it needs no more
  EXPECT_TRUE(ended) << ended.error().what();
  EXPECT_THAT(os_.copied, SizeIs(6));
}

// A copy that is damaged or of something else is begun anew.
TEST_F(CopiesAheadTest, ARecordThatDoesNotFitMeansNothing) {
  begin_and_interrupt();
  story_.world.kill();
  const std::string copy =
      std::filesystem::directory_iterator(story_.copies())->path();
  const Fd directory = open_dir(copy);
  CopyRecord record = *read_copy_record(directory.get());
  record.of.birth = Timestamp{1, 1};
  ASSERT_TRUE(write_copy_record(host_os(), directory.get(), record));
  ASSERT_TRUE(story_.world.open());
  end();
  EXPECT_THAT(os_.copied, SizeIs(6));
}

TEST_F(CopiesAheadTest, ADamagedRecordMeansNothing) {
  begin_and_interrupt();
  story_.world.kill();
  const std::string copy =
      std::filesystem::directory_iterator(story_.copies())->path();
  std::fstream file(copy + "/record", std::ios::in | std::ios::out);
  file.seekp(70);
  file.put('\xff');
  file.close();
  ASSERT_TRUE(story_.world.open());
  end();
  EXPECT_THAT(os_.copied, SizeIs(6));
}

}  // namespace
}  // namespace ovl
