// SPDX-License-Identifier: BSD-3-Clause
//
// What a log keeps from one look to the next, and when it starts anew.
#include "images/journal/journal_log.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/journal_world.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;

TEST(JournalLogKeeps, TheTailTakesItsTransactionsAlong) {
  JournalWorld world;
  world.open();
  world.write({5, 6});
  const uint32_t second = world.write({6, 7});
  const uint32_t third = world.write({8});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  world.journal.set_tail(2, second);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(5));
  EXPECT_TRUE(world.shows(6, 2));
  world.journal.set_tail(3, third);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(6, 7));
  world.journal.set_tail(4, world.journal.head);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(8));
  EXPECT_EQ(world.log.last_transaction(), 3U);
  EXPECT_FALSE(world.log.is_empty());
}

TEST(JournalLogKeeps, AnEmptiedLogIsUsedAgain) {
  JournalWorld world;
  world.open();
  world.write({5, 6});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  ++world.journal.id;
  world.journal.set_tail(world.journal.id, 0);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.log.is_empty());
  EXPECT_EQ(world.log.last_transaction(), 2U);
  EXPECT_TRUE(world.is_in_place(5));
  EXPECT_THAT(world.touched(), ElementsAre(5, 6));
  world.journal.head = 1;
  world.open();
  world.write({7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_FALSE(world.log.is_empty());
  EXPECT_THAT(world.touched(), ElementsAre(7));
}

TEST(JournalLogKeeps, ALogEmptiedAndUsedAgainBetweenTwoLooks) {
  JournalWorld world;
  world.open();
  world.write({5, 6});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  world.journal.head = 1;
  world.open();
  world.write({6, 7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.is_in_place(5));
  EXPECT_TRUE(world.shows(6, 2));
  EXPECT_THAT(world.touched(), ElementsAre(5, 6, 7));
}

TEST(JournalLogKeeps, AWholeRingBetweenTwoLooks) {
  JournalWorld world;
  world.open();
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  for (uint64_t block = 20; block < 60; ++block)
    world.write({block});
  world.open();
  world.write({70});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(5, 70));
  EXPECT_EQ(world.log.last_transaction(), 42U);
}

TEST(JournalLogKeeps, AJournalMadeElsewhereStartsAnew) {
  JournalWorld world;
  world.open();
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  JournalWriter other(world.device, scattered_runs(), {});
  other.set_tail(1, 1);
  const JournalWrite write{6, stamped_block(6)};
  other.write({&write, 1});
  ASSERT_TRUE(world.log.advance(world.device, other.runs()));
  EXPECT_THAT(world.touched(), ElementsAre(5, 6));
  EXPECT_EQ(world.log.find(BlockNo{6})->at, BlockNo{202});
}

TEST(JournalLogKeeps, AnotherUuidStartsAnew) {
  JournalWorld world;
  world.open();
  const uint32_t first = world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  world.journal.uuid[0] = std::byte{99};
  world.journal.make_superblock();
  store_be32(world.journal.block(first), 12, 6);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(5, 6));
}

TEST(JournalLogKeeps, ATailThatMovesBackStartsAnew) {
  JournalWorld world;
  world.open();
  const uint32_t first = world.write({5});
  const uint32_t second = world.write({6});
  world.journal.set_tail(2, second);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(6));
  world.journal.set_tail(1, first);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1) && world.shows(6, 2));
}

TEST(JournalLogKeeps, AnotherTransactionOfTheSameNumberElsewhereStartsAnew) {
  JournalWorld world;
  world.open();
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  world.journal.id = 1;
  world.journal.head = 12;
  world.open();
  world.write({6});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(5, 6));
}

TEST(JournalLogKeeps, AKeptTransactionWithoutItsCommitStartsAnew) {
  JournalWorld world;
  world.open();
  world.write({5});
  const uint32_t second = world.write({6});
  ASSERT_EQ(world.advance_error(), "");
  world.touched();
  std::ranges::fill(world.journal.block(second + 2), std::byte{});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
  EXPECT_TRUE(world.shows(5, 1) && world.is_in_place(6));
  EXPECT_THAT(world.touched(), ElementsAre(5, 6));
}

TEST(JournalLogKeeps, AnotherBlockWhereTheLastCommitWasStartsAnew) {
  // It is a descriptor, or another transaction's.
  for (const auto& [offset, value] : {std::pair(4U, 1U), {8U, 7U}}) {
    JournalWorld world;
    world.open();
    world.write({5});
    const uint32_t second = world.write({6});
    ASSERT_EQ(world.advance_error(), "");
    store_be32(world.journal.block(second + 2), offset, value);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 1U);
    EXPECT_TRUE(world.shows(5, 1) && world.is_in_place(6));
  }
}

TEST(JournalLogKeeps, FeaturesThatTheGuestSetsLaterAreForWhatComesThen) {
  JournalWorld world;
  world.open();
  world.write({5, 6});
  ASSERT_EQ(world.advance_error(), "");
  for (const char* name : {"plain64", "v2", "v3_64", "v1"}) {
    world.journal.set_kind(kind_named(name));
    world.journal.make_superblock();
    const uint32_t id = world.journal.id;
    world.write({7, 8});
    ASSERT_EQ(world.advance_error(), "") << name;
    EXPECT_TRUE(world.shows(5, 1) && world.shows(6, 1)) << name;
    EXPECT_TRUE(world.shows(7, id) && world.shows(8, id)) << name;
  }
}

}  // namespace
}  // namespace ovl
