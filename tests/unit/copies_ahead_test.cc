// SPDX-License-Identifier: BSD-3-Clause
//
// A large file of a lower is copied before the checkpoint that needs it, and
// once, whatever interrupts it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cstdlib>

#include "tests/support/copy_fixture.h"
#include "tests/support/crash_stride.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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
  for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
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
    ASSERT_THAT(common_chunks(kept, os_.copied), IsEmpty());
    ASSERT_LE(os_.copied.size(), CopyStory::kChunks - kept.size());
    check(story, stop);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST_F(CopiesAheadTest, AnErrorThatPassesCostsNoChunk) {
  bool was_stopped = true;
  for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
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
    ASSERT_LE(common_chunks(kept, os_.copied).size(), 2U);
    check(story, stop);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
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

TEST_F(CopiesAheadTest, TheEndOfARunGoesOn) {
  begin_and_interrupt();
  const Status ended = story_.world.end();
  ASSERT_TRUE(ended) << ended.error().what();
  EXPECT_THAT(os_.copied, ElementsAre(3, 4, 5));
  EXPECT_THAT(CheckpointWorld::difference(story_.after, story_.world.merged()),
              IsEmpty());
  EXPECT_FALSE(story_.has_copies());
}

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

}  // namespace
}  // namespace ovl
