// SPDX-License-Identifier: BSD-3-Clause
//
// What the host does to a copy that is made ahead: a lower that drifts, a disk
// that is full, records that do not fit, space that is shared, threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "fsengine/base/read_at.h"
#include "tests/support/copy_fixture.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

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
class SharingOs : public CopyWatch<StoppingOs> {
 public:
  uint64_t shared = 0;

  Status share_range(int from, uint64_t from_offset, int to, uint64_t offset,
                     uint64_t length) override {
    shared += length;
    std::vector<std::byte> bytes(length);
    OVL_TRY(read_at(from, from_offset, bytes));
    return CopyWatch<StoppingOs>::pwrite(to, bytes, offset);
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

// It stays as far as it came.
TEST_F(CopiesAheadTest, WithoutSpaceForItDeletionsGoOn) {
  story_.begin();
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(CopyStory::change_one_byte(fs));
    return fs.unlink("d/a");
  });
  os_.before_copy = [](uint64_t chunk) -> Status {
    if (chunk == 2)
      return system_error(ENOSPC, "write");
    return {};
  };
  const Status refused = story_.try_checkpoint();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ENOSPC);
  EXPECT_THAT(CheckpointWorld::difference(story_.before, story_.world.merged()),
              ElementsAre(StartsWith("- /d/a ")));
  EXPECT_THAT(story_.kept(), ElementsAre(0, 1));
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
