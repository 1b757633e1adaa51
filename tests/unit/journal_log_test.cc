// SPDX-License-Identifier: BSD-3-Clause
//
// What is in a journal, in every format.
#include "images/journal/journal_log.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/journal.h"
#include "tests/support/journal_world.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ValuesIn;

class JournalLogKinds : public ::testing::TestWithParam<JournalKind> {};
class JournalLogChecked : public ::testing::TestWithParam<JournalKind> {};

INSTANTIATE_TEST_SUITE_P(All, JournalLogKinds, ValuesIn(all_journal_kinds()),
                         name_of<::testing::TestParamInfo<JournalKind>>);
INSTANTIATE_TEST_SUITE_P(All, JournalLogChecked, ValuesIn(checked_kinds()),
                         name_of<::testing::TestParamInfo<JournalKind>>);

TEST_P(JournalLogKinds, CommittedBlocksAreFound) {
  JournalWorld world(GetParam(), scattered_runs());
  world.open();
  world.write({5, 6, 7});
  world.write({6, 399});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_FALSE(world.log.is_empty());
  EXPECT_EQ(world.log.last_transaction(), 2U);
  EXPECT_TRUE(world.shows(5, 1));
  EXPECT_TRUE(world.shows(6, 2));
  EXPECT_TRUE(world.shows(7, 1));
  EXPECT_TRUE(world.shows(399, 2));
  EXPECT_TRUE(world.is_in_place(8));
  EXPECT_THAT(world.touched(), ElementsAre(5, 6, 7, 399));
  EXPECT_THAT(world.touched(), IsEmpty());
}

TEST_P(JournalLogKinds, ATransactionWithoutCommitCountsOnlyWhenItHasOne) {
  JournalWorld world(GetParam());
  world.open();
  world.write({5});
  const JournalWrite second{6, JournalWorld::content(2, 6)};
  world.journal.descriptor({&second, 1});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
  EXPECT_TRUE(world.is_in_place(6));
  EXPECT_THAT(world.touched(), ElementsAre(5));
  world.journal.commit();
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 2U);
  EXPECT_TRUE(world.shows(6, 2));
  EXPECT_THAT(world.touched(), ElementsAre(6));
}

TEST_P(JournalLogKinds, SeveralDescriptorsAndRevocationsInAnyOrder) {
  JournalWorld world(GetParam());
  world.open();
  world.write({5, 6, 7, 8, 9});
  const std::vector<JournalWrite> writes{{10, JournalWorld::content(2, 10)},
                                         {11, JournalWorld::content(2, 11)},
                                         {12, JournalWorld::content(2, 12)}};
  const std::vector<uint64_t> revoked{5, 7, 9};
  world.journal.revoke(std::span(revoked).first(1));
  world.journal.descriptor(std::span(writes).first(2));
  world.journal.revoke(std::span(revoked).subspan(1, 1));
  world.journal.revoke(std::span(revoked).subspan(2));
  world.journal.descriptor(std::span(writes).subspan(2));
  world.journal.commit();
  ASSERT_EQ(world.advance_error(), "");
  for (const uint64_t block : revoked)
    EXPECT_TRUE(world.is_in_place(block)) << block;
  for (const uint64_t block : {6U, 8U})
    EXPECT_TRUE(world.shows(block, 1)) << block;
  for (const uint64_t block : {10U, 11U, 12U})
    EXPECT_TRUE(world.shows(block, 2)) << block;
}

TEST_P(JournalLogKinds, AFullDescriptorEndsWithoutALastTag) {
  JournalDevice device(2000);
  JournalWriter journal(device, {{0, BlockNo{1000}, 700}}, GetParam());
  journal.set_tail(1, 1);
  std::vector<JournalWrite> writes(journal.tags_in_descriptor());
  for (size_t i = 0; i < writes.size(); ++i)
    writes[i] = {10 + i, stamped_block(i)};
  journal.has_last_tag = false;
  journal.descriptor(writes);
  journal.has_last_tag = true;
  const JournalWrite more{9, stamped_block(9)};
  journal.descriptor({&more, 1});
  journal.commit();
  JournalLog log;
  ASSERT_TRUE(log.advance(device, journal.runs()));
  EXPECT_EQ(log.last_transaction(), 1U);
  EXPECT_THAT(log.take_touched(), SizeIs(writes.size() + 1));
}

TEST_P(JournalLogKinds, TheLogWrapsAtEveryPosition) {
  for (uint32_t begin = 1; begin < kJournalBlocks; ++begin) {
    JournalWorld world(GetParam(), scattered_runs());
    world.journal.head = begin;
    world.open();
    world.write({5, 6, 7, 8});
    world.write({9}, {5, 6});
    const uint32_t third = world.write({10, 11}, {9});
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 3U);
    EXPECT_TRUE(world.shows(7, 1) && world.shows(8, 1) && world.shows(10, 3));
    EXPECT_TRUE(world.is_in_place(5) && world.is_in_place(9));
    world.touched();
    world.journal.set_tail(3, third);
    world.write({12});
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_TRUE(world.is_in_place(7) && world.shows(10, 3));
    EXPECT_TRUE(world.shows(12, 4));
    EXPECT_THAT(world.touched(), ElementsAre(7, 8, 12));
  }
}

TEST_P(JournalLogKinds, TransactionNumbersWrap) {
  JournalWorld world(GetParam());
  world.journal.id = 0xfffffffe;
  world.open();
  world.write({5, 6, 7});
  world.write({6}, {5});
  const uint32_t third = world.write({8});
  world.write({7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
  EXPECT_TRUE(world.is_in_place(5));
  EXPECT_TRUE(world.shows(6, 0xffffffff) && world.shows(7, 1));
  EXPECT_TRUE(world.shows(8, 0));
  world.touched();
  world.journal.set_tail(0, third);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(6));
  EXPECT_TRUE(world.shows(7, 1));
}

TEST_P(JournalLogKinds, AnAdvanceReadsOnlyWhatIsNew) {
  JournalWorld world(GetParam());
  world.open();
  for (uint64_t block = 0; block < 8; ++block)
    world.write({block});
  ASSERT_EQ(world.advance_error(), "");
  const uint64_t before = world.device.reads();
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_LE(world.device.reads() - before, 3U);
  world.write({9});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_LE(world.device.reads() - before, 9U);
  EXPECT_TRUE(world.shows(3, 4) && world.shows(9, 9));
}

TEST_P(JournalLogChecked, WhatIsWrongInTheLastTransactionWasNeverCommitted) {
  // A descriptor, a copy, a commit; v1 has no checksum over the commit itself.
  for (uint32_t which = 0; which < 3; ++which) {
    JournalWorld world(GetParam());
    world.open();
    world.write({5});
    const uint32_t second = world.write({6});
    world.journal.abandon();
    flip(world.journal.block(second + which), 18);
    ASSERT_EQ(world.advance_error(), "") << which;
    EXPECT_EQ(world.log.last_transaction(), 1U) << which;
    EXPECT_TRUE(world.is_in_place(6)) << which;
    flip(world.journal.block(second + which), 18);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_TRUE(world.shows(6, 2));
  }
}

TEST_P(JournalLogChecked, WhatWasNeverCommittedMayBeNonsense) {
  JournalWorld world(GetParam());
  world.open();
  world.write({5});
  const uint32_t second = world.write({kDeviceBlocks});
  flip(world.journal.block(second + 1), 18);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
}

TEST_P(JournalLogChecked, WhatIsWrongBeforeTheLastTransactionIsAnError) {
  for (uint32_t which = 0; which < 3; ++which) {
    JournalWorld world(GetParam());
    world.open();
    world.write({5});
    ASSERT_EQ(world.advance_error(), "");
    world.touched();
    const uint32_t second = world.write({6});
    world.write({7});
    flip(world.journal.block(second + which), 18);
    EXPECT_EQ(world.advance_code(), EUCLEAN) << which;
    EXPECT_THAT(world.advance_error(), HasSubstr("transaction 2"));
    EXPECT_EQ(world.log.last_transaction(), 1U);
    EXPECT_TRUE(world.shows(5, 1));
    EXPECT_THAT(world.touched(), IsEmpty());
    flip(world.journal.block(second + which), 18);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_TRUE(world.shows(6, 2) && world.shows(7, 3));
  }
}

TEST_P(JournalLogChecked, TwoDamagedTransactionsBeforeASoundOneAreAnError) {
  JournalWorld world(GetParam());
  world.open();
  const uint32_t first = world.write({5});
  const uint32_t second = world.write({6});
  flip(world.journal.block(first + 1), 18);
  flip(world.journal.block(second + 1), 18);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 0U);
  world.write({7});
  EXPECT_EQ(world.advance_code(), EUCLEAN);
}

TEST(JournalLog, RevocationsAreChecked) {
  for (const char* name : {"v2", "v2_64", "v3", "v3_64"}) {
    JournalWorld world(kind_named(name));
    world.open();
    world.write({5, 6});
    const uint32_t second = world.write({}, {5});
    flip(world.journal.block(second), 300);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 1U);
    EXPECT_TRUE(world.shows(5, 1));
  }
}

TEST_P(JournalLogKinds, StaleTransactionsWithOtherNumbersEndTheLog) {
  JournalWorld world(GetParam());
  world.journal.id = 7;
  world.open();
  for (uint64_t block = 0; block < 9; ++block)
    world.write({block});
  // The ring from its start once more: what follows is of earlier numbers.
  world.journal.head = 1;
  world.journal.id = 30;
  world.open();
  world.write({50});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 30U);
  EXPECT_THAT(world.touched(), ElementsAre(50));
}

TEST_P(JournalLogKinds, ABlockOutsideOfTheDeviceIsAnError) {
  JournalWorld world(GetParam());
  world.open();
  world.write({5});
  world.write({kDeviceBlocks});
  EXPECT_EQ(world.advance_code(), EUCLEAN);
  EXPECT_THAT(world.advance_error(), HasSubstr("block 400"));
  JournalWorld revoking(GetParam());
  revoking.open();
  revoking.write({}, {kDeviceBlocks});
  EXPECT_EQ(revoking.advance_code(), EUCLEAN);
}

TEST_P(JournalLogKinds, ABlockOfTheJournalItselfIsAnError) {
  for (const uint64_t block : {200U, 204U, 150U, 158U, 300U, 318U}) {
    JournalWorld world(GetParam(), scattered_runs());
    world.open();
    world.write({block});
    EXPECT_EQ(world.advance_code(), EUCLEAN) << block;
  }
  for (const uint64_t block : {199U, 205U, 149U, 159U, 299U, 319U}) {
    JournalWorld world(GetParam(), scattered_runs());
    world.open();
    world.write({block});
    EXPECT_EQ(world.advance_error(), "") << block;
  }
}

TEST_P(JournalLogKinds, ATransactionThatIsNotCommittedMayBeNonsense) {
  JournalWorld world(GetParam());
  world.open();
  world.write({5});
  const JournalWrite beyond{kDeviceBlocks, {}};
  world.journal.descriptor({&beyond, 1});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
}

TEST(JournalLog, ANewImageHasAnEmptyOne) {
  JournalDevice device(kDeviceBlocks);
  Uuid uuid{};
  fill_journal_superblock(kJournalBlocks, uuid, device.block(BlockNo{100}));
  JournalLog log;
  ASSERT_TRUE(log.advance(device, whole_runs()));
  EXPECT_TRUE(log.is_empty());
  EXPECT_EQ(log.last_transaction(), 0U);
  EXPECT_FALSE(log.next_copy(BlockNo{0}).has_value());
}

TEST(JournalLog, NothingIsThereBeforeTheFirstLook) {
  JournalLog log;
  EXPECT_TRUE(log.is_empty());
  EXPECT_EQ(log.last_transaction(), 0U);
  EXPECT_EQ(log.guest_error(), 0);
  EXPECT_FALSE(log.find(BlockNo{1}).has_value());
  EXPECT_THAT(log.take_touched(), IsEmpty());
}

TEST(JournalLog, AVersion1SuperblockHasNoFeatures) {
  JournalWorld world;
  world.open();
  world.write({5});
  store_be32(world.journal.block(0), 4, 3);
  // What would be features is something else there, if anything.
  store_be32(world.journal.block(0), 0x28, 0xffffffff);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, TheHeadInTheSuperblockMeansNothing) {
  JournalWorld world;
  world.open();
  world.write({5});
  world.write({6});
  store_be32(world.journal.block(0), 0x58, 4);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(6, 2));
}

TEST(JournalLog, TheGuestsErrorIsToldAndTheLogIsRead) {
  JournalWorld world;
  world.journal.error = static_cast<uint32_t>(-EIO);
  world.open();
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.guest_error(), -EIO);
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, ALogThatBeginsBehindTheFirstBlocksWrapsThere) {
  JournalWorld world;
  world.journal.first = 9;
  world.journal.head = 31;
  world.open();
  world.write({5, 6, 7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1) && world.shows(7, 1));
  EXPECT_EQ(world.log.find(BlockNo{7})->at, BlockNo{kJournalAt + 10});
}

TEST(JournalLog, AShorterLogThanItsFileWrapsAtItsEnd) {
  JournalWorld world;
  world.journal.end = 20;
  world.journal.head = 18;
  world.open();
  world.write({5, 6, 7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.find(BlockNo{6})->at, BlockNo{kJournalAt + 1});
  EXPECT_TRUE(world.shows(7, 1));
}

TEST(JournalLog, ARevokedBlockThatIsUsedAgainCountsAgain) {
  JournalWorld world;
  world.open();
  world.write({5});
  world.write({}, {5});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.is_in_place(5));
  EXPECT_THAT(world.touched(), ElementsAre(5));
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 3));
}

TEST(JournalLog, ARevocationVoidsTheCopyInItsOwnTransaction) {
  for (const bool is_before : {false, true}) {
    JournalWorld world;
    world.open();
    const std::vector<uint64_t> revoked{5};
    const JournalWrite write{5, JournalWorld::content(1, 5)};
    if (is_before)
      world.journal.revoke(revoked);
    world.journal.descriptor({&write, 1});
    if (!is_before)
      world.journal.revoke(revoked);
    world.journal.commit();
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_TRUE(world.is_in_place(5));
  }
}

TEST(JournalLog, ARevocationOutlivesTheTailThatItHasPassed) {
  JournalWorld world;
  world.open();
  world.write({5, 6});
  const uint32_t second = world.write({}, {5});
  world.write({7});
  ASSERT_EQ(world.advance_error(), "");
  world.journal.set_tail(2, second);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.is_in_place(5) && world.is_in_place(6));
  EXPECT_TRUE(world.shows(7, 3));
}

TEST(JournalLog, TheLastOfTwoCopiesInATransactionCounts) {
  JournalWorld world;
  world.open();
  const std::vector<JournalWrite> writes{{5, stamped_block(1)},
                                         {5, stamped_block(2)}};
  world.journal.write(writes);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.committed(5), stamped_block(2));
}

TEST(JournalLog, ATagMayCarryAnotherUuidEachTime) {
  JournalWorld world;
  world.open();
  auto out = world.journal.block(1);
  world.journal.put_header(out, 1, 1);
  store_be32(out, 12, 5);          // no SAME_UUID: 16 bytes follow
  store_be32(out, 36, 6);          // none, again
  store_be16(out, 42, 0x8 | 0x4);  // the last; "deleted" has no meaning
  world.journal.head = 4;
  world.journal.commit();
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_THAT(world.touched(), ElementsAre(5, 6));
  EXPECT_EQ(world.log.find(BlockNo{6})->at, BlockNo{kJournalAt + 3});
}

TEST(JournalLog, TheHighHalfOfABlockCountsOnlyWith64Bits) {
  JournalWorld world(kind_named("v3"));
  world.open();
  const uint32_t first = world.write({5});
  store_be32(world.journal.block(first), 12 + 8, 77);
  world.journal.seal(world.journal.block(first));
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, V1WithoutAChecksumCountsUnlessCommitsAreAsynchronous) {
  for (const char* name : {"v1", "v1_async"}) {
    JournalWorld world(kind_named(name));
    world.open();
    const uint32_t first = world.write({5});
    auto commit = world.journal.block(first + 2);
    std::ranges::fill(commit.subspan(12, 8), std::byte{});
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), name[2] == '\0' ? 1U : 0U);
  }
}

TEST(JournalLog, V1OfAnotherKindDoesNotCount) {
  for (const size_t field : {12U, 13U}) {
    JournalWorld world(kind_named("v1"));
    world.open();
    const uint32_t first = world.write({5});
    flip(world.journal.block(first + 2), field);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 0U);
  }
}

TEST(JournalLog, V1DoesNotCoverRevocations) {
  JournalWorld world(kind_named("v1"));
  world.open();
  world.write({5, 6});
  const uint32_t second = world.write({7}, {5});
  store_be32(world.journal.block(second + 2), 16, 6);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1) && world.is_in_place(6));
}

TEST(JournalLog, AnAsynchronousCommitBeforeItsCopyDoesNotCount) {
  for (const char* name : {"v1_async", "v2_async64", "v3_async64"}) {
    JournalWorld world(kind_named(name));
    world.open();
    world.write({5});
    const uint32_t second = world.write({6});
    const JournalBlock copy = stamped_block(0);
    auto place = world.journal.block(second + 1);
    JournalBlock arrived;
    std::ranges::copy(place, arrived.begin());
    std::ranges::copy(copy, place.begin());
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 1U);
    std::ranges::copy(arrived, place.begin());
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_TRUE(world.shows(6, 2));
  }
}

// The journal was made anew over an older one, whose numbers were the same.
TEST(JournalLog, AStaleTransactionThatFitsButForItsChecksumEndsTheLog) {
  JournalWorld world(kind_named("v3"));
  world.open();
  world.write({5});
  world.write({6});
  world.write({7});
  world.journal.uuid[3] = std::byte{77};
  world.journal.head = 1;
  world.journal.id = 1;
  world.open();
  world.write({8});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
  EXPECT_THAT(world.touched(), ElementsAre(8));
}
}  // namespace
}  // namespace ovl
