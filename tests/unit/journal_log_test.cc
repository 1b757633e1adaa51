// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/journal_log.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/journal.h"
#include "images/journal/committed_view.h"
#include "tests/support/journal_writer.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::ValuesIn;

constexpr uint64_t kDeviceBlocks = 400;
constexpr uint64_t kJournalAt = 100;
constexpr uint32_t kJournalBlocks = 33;

std::vector<MappedRun> whole_runs() {
  return {{0, BlockNo{kJournalAt}, kJournalBlocks}};
}

// In three pieces, not in the order of the device.
std::vector<MappedRun> scattered_runs() {
  return {{0, BlockNo{200}, 5}, {5, BlockNo{150}, 9}, {14, BlockNo{300}, 19}};
}

// A device, a journal on it, and what is read of it.
class World {
 public:
  explicit World(JournalKind kind = {},
                 std::vector<MappedRun> runs = whole_runs())
      : device(kDeviceBlocks), journal(device, std::move(runs), kind) {
    journal.make_superblock();
  }

  // The log begins at the head, with the next transaction.
  void open() { journal.set_tail(journal.id, journal.head); }

  // A transaction of one block for each number.
  uint32_t write(std::vector<uint64_t> blocks,
                 std::vector<uint64_t> revoked = {}) {
    std::vector<JournalWrite> writes;
    for (const uint64_t block : blocks)
      writes.push_back({block, content(journal.id, block)});
    return journal.write(writes, revoked);
  }
  // Some begin with the magic number.
  static JournalBlock content(uint32_t id, uint64_t block) {
    return stamped_block(id * 1000 + block, (id + block) % 3 == 0);
  }

  Status advance() { return log.advance(device, journal.runs()); }
  int advance_code() {
    const Status status = advance();
    return status ? 0 : status.error().code();
  }
  std::string advance_error() {
    const Status status = advance();
    return status ? "" : status.error().what();
  }

  JournalBlock committed(uint64_t block) {
    JournalBlock found;
    EXPECT_TRUE(
        CommittedView(device, log).read(block * kBlockSize, found).has_value());
    return found;
  }
  bool shows(uint64_t block, uint32_t id) {
    return log.find(BlockNo{block}).has_value() &&
           committed(block) == content(id, block);
  }
  bool is_in_place(uint64_t block) { return !log.find(BlockNo{block}); }

  std::vector<uint64_t> touched() {
    std::vector<uint64_t> blocks;
    for (const BlockNo block : log.take_touched())
      blocks.push_back(to_int(block));
    return blocks;
  }

  JournalDevice device;
  JournalWriter journal;
  JournalLog log;
};

void flip(std::span<std::byte> block, size_t at) {
  block[at] ^= std::byte{0x10};
}

JournalKind kind_named(const std::string& name) {
  for (const JournalKind& kind : all_journal_kinds())
    if (kind.name == name)
      return kind;
  ADD_FAILURE() << name;
  return {};
}

std::vector<JournalKind> checked_kinds() {
  std::vector<JournalKind> kinds = all_journal_kinds();
  std::erase_if(kinds, [](const auto& kind) { return !kind.has_checksums(); });
  return kinds;
}

template <typename Info>
std::string name_of(const Info& test) {
  return test.param.name;
}

class JournalLogKinds : public ::testing::TestWithParam<JournalKind> {};
class JournalLogChecked : public ::testing::TestWithParam<JournalKind> {};

INSTANTIATE_TEST_SUITE_P(All, JournalLogKinds, ValuesIn(all_journal_kinds()),
                         name_of<::testing::TestParamInfo<JournalKind>>);
INSTANTIATE_TEST_SUITE_P(All, JournalLogChecked, ValuesIn(checked_kinds()),
                         name_of<::testing::TestParamInfo<JournalKind>>);

TEST_P(JournalLogKinds, CommittedBlocksAreFound) {
  World world(GetParam(), scattered_runs());
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
  World world(GetParam());
  world.open();
  world.write({5});
  const JournalWrite second{6, World::content(2, 6)};
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
  World world(GetParam());
  world.open();
  world.write({5, 6, 7, 8, 9});
  const std::vector<JournalWrite> writes{{10, World::content(2, 10)},
                                         {11, World::content(2, 11)},
                                         {12, World::content(2, 12)}};
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
    World world(GetParam(), scattered_runs());
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
  World world(GetParam());
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
  World world(GetParam());
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
    World world(GetParam());
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
  World world(GetParam());
  world.open();
  world.write({5});
  const uint32_t second = world.write({kDeviceBlocks});
  flip(world.journal.block(second + 1), 18);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 1U);
}

TEST_P(JournalLogChecked, WhatIsWrongBeforeTheLastTransactionIsAnError) {
  for (uint32_t which = 0; which < 3; ++which) {
    World world(GetParam());
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
  World world(GetParam());
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
    World world(kind_named(name));
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
  World world(GetParam());
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
  World world(GetParam());
  world.open();
  world.write({5});
  world.write({kDeviceBlocks});
  EXPECT_EQ(world.advance_code(), EUCLEAN);
  EXPECT_THAT(world.advance_error(), HasSubstr("block 400"));
  World revoking(GetParam());
  revoking.open();
  revoking.write({}, {kDeviceBlocks});
  EXPECT_EQ(revoking.advance_code(), EUCLEAN);
}

TEST_P(JournalLogKinds, ABlockOfTheJournalItselfIsAnError) {
  for (const uint64_t block : {200U, 204U, 150U, 158U, 300U, 318U}) {
    World world(GetParam(), scattered_runs());
    world.open();
    world.write({block});
    EXPECT_EQ(world.advance_code(), EUCLEAN) << block;
  }
  for (const uint64_t block : {199U, 205U, 149U, 159U, 299U, 319U}) {
    World world(GetParam(), scattered_runs());
    world.open();
    world.write({block});
    EXPECT_EQ(world.advance_error(), "") << block;
  }
}

TEST_P(JournalLogKinds, ATransactionThatIsNotCommittedMayBeNonsense) {
  World world(GetParam());
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
  World world;
  world.open();
  world.write({5});
  store_be32(world.journal.block(0), 4, 3);
  // What would be features is something else there, if anything.
  store_be32(world.journal.block(0), 0x28, 0xffffffff);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, TheHeadInTheSuperblockMeansNothing) {
  World world;
  world.open();
  world.write({5});
  world.write({6});
  store_be32(world.journal.block(0), 0x58, 4);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(6, 2));
}

TEST(JournalLog, TheGuestsErrorIsToldAndTheLogIsRead) {
  World world;
  world.journal.error = static_cast<uint32_t>(-EIO);
  world.open();
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.guest_error(), -EIO);
  EXPECT_TRUE(world.shows(5, 1));
}

// What is wrong with a superblock, and what is said of it.
struct BadSuperblock {
  std::string name;
  size_t offset = 0;
  uint32_t value = 0;
  int code = 0;
  std::string text;
};

class JournalLogRefuses : public ::testing::TestWithParam<BadSuperblock> {};

INSTANTIATE_TEST_SUITE_P(
    Superblocks, JournalLogRefuses,
    ValuesIn(std::vector<BadSuperblock>{
        {"Magic", 0, 0xC03B3999, EUCLEAN, "no valid superblock"},
        {"Type", 4, 2, EUCLEAN, "no valid superblock"},
        {"Version", 4, 6, ENOTSUP, "unknown version"},
        {"BlockSize", 0x0c, 1024, ENOTSUP, "1024 bytes"},
        {"MoreBlocksThanTheFile", 0x10, 34, EUCLEAN, "34 blocks"},
        {"NoBlocks", 0x10, 0, EUCLEAN, "begins outside"},
        {"FirstIsTheSuperblock", 0x14, 0, EUCLEAN, "begins outside"},
        {"FirstAtTheEnd", 0x14, 33, EUCLEAN, "begins outside"},
        {"FirstBeyond", 0x14, 0xffffffff, EUCLEAN, "begins outside"},
        {"StartAtTheEnd", 0x1c, 33, EUCLEAN, "tail"},
        {"StartBeyond", 0x1c, 0xffffffff, EUCLEAN, "tail"},
        {"FastCommit", 0x28, 0x21, ENOTSUP, "fast commits"},
        {"Unknown", 0x28, 0x41, ENOTSUP, "unknown features 0x40"},
        {"UnknownReadOnly", 0x2c, 1, ENOTSUP, "unknown features 0x0/0x1"},
        {"TwoChecksums", 0x28, 0x18, ENOTSUP, "two kinds"},
        {"AsyncWithoutChecksums", 0x28, 0x4, ENOTSUP, "asynchronous"},
        {"SeveralUsers", 0x40, 2, ENOTSUP, "several users"}}),
    name_of<::testing::TestParamInfo<BadSuperblock>>);

TEST_P(JournalLogRefuses, Superblock) {
  const BadSuperblock& bad = GetParam();
  World world;
  world.open();
  world.write({5});
  ASSERT_EQ(world.advance_error(), "");
  store_be32(world.journal.block(0), bad.offset, bad.value);
  const Status status = world.advance();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code(), bad.code);
  EXPECT_THAT(status.error().what(), HasSubstr(bad.text));
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, TwoChecksumsOfDifferentAgesAreRefused) {
  JournalKind both = kind_named("v3");
  both.compat = 1;
  World world(both);
  EXPECT_EQ(world.advance_code(), ENOTSUP);
}

TEST(JournalLog, AnUnknownKindOfChecksumIsRefused) {
  World world(kind_named("v3"));
  world.journal.block(0)[0x50] = std::byte{1};
  world.journal.seal_superblock();
  EXPECT_EQ(world.advance_code(), ENOTSUP);
}

TEST(JournalLog, TheSuperblockIsChecked) {
  for (const char* name : {"v2", "v3"}) {
    World world(kind_named(name));
    flip(world.journal.block(0), 0x200);
    EXPECT_EQ(world.advance_code(), EUCLEAN);
    EXPECT_THAT(world.advance_error(), HasSubstr("checksum"));
  }
}

TEST(JournalLog, ALogThatBeginsBehindTheFirstBlocksWrapsThere) {
  World world;
  world.journal.first = 9;
  world.journal.head = 31;
  world.open();
  world.write({5, 6, 7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1) && world.shows(7, 1));
  EXPECT_EQ(world.log.find(BlockNo{7})->at, BlockNo{kJournalAt + 10});
}

TEST(JournalLog, AShorterLogThanItsFileWrapsAtItsEnd) {
  World world;
  world.journal.end = 20;
  world.journal.head = 18;
  world.open();
  world.write({5, 6, 7});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.find(BlockNo{6})->at, BlockNo{kJournalAt + 1});
  EXPECT_TRUE(world.shows(7, 1));
}

TEST(JournalLog, JournalFilesThatMakeNoSenseAreErrors) {
  JournalDevice device(kDeviceBlocks);
  JournalWriter(device, whole_runs(), {}).make_superblock();
  const std::vector<std::vector<MappedRun>> bad{
      {},
      {{1, BlockNo{100}, 33}},
      {{0, BlockNo{100}, 10}, {11, BlockNo{111}, 22}},
      {{0, BlockNo{100}, 0}},
      {{0, BlockNo{380}, 33}},
      {{0, BlockNo{400}, 1}},
      {{0, BlockNo{~uint64_t{0}}, 33}},
      {{0, BlockNo{100}, ~uint64_t{0}}}};
  JournalLog log;
  for (const auto& runs : bad) {
    const Status status = log.advance(device, runs);
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code(), EUCLEAN);
  }
  EXPECT_TRUE(log.advance(device, whole_runs()).has_value());
}

TEST(JournalLog, AnErrorOfReadingIsPassedOn) {
  World world;
  world.open();
  const uint32_t first = world.write({5});
  world.device.fail_at(world.journal.at(first));
  EXPECT_EQ(world.advance_code(), EIO);
  world.device.fail_at(BlockNo{~uint64_t{0}});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, ABlockOfAnotherTypeEndsTheLog) {
  for (const uint32_t type : {0U, 3U, 4U, 6U, 0xffffffffU}) {
    World world;
    world.open();
    world.write({5});
    const uint32_t second = world.write({6});
    store_be32(world.journal.block(second), 4, type);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 1U) << type;
  }
}

TEST(JournalLog, ARevokedBlockThatIsUsedAgainCountsAgain) {
  World world;
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
    World world;
    world.open();
    const std::vector<uint64_t> revoked{5};
    const JournalWrite write{5, World::content(1, 5)};
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
  World world;
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

TEST(JournalLog, ARevocationOfHighBlocksNeeds64Bits) {
  World world(kind_named("plain64"));
  world.open();
  world.write({5});
  world.write({}, {uint64_t{1} << 32 | 5});
  EXPECT_EQ(world.advance_code(), EUCLEAN);
}

TEST(JournalLog, TheNumberOfRevokedBytesIsChecked) {
  for (const uint32_t bytes : {0U, 12U, 15U, 16U, 19U}) {
    World world;
    world.open();
    world.write({5});
    const uint32_t second = world.write({}, {5});
    store_be32(world.journal.block(second), 12, bytes);
    ASSERT_EQ(world.advance_error(), "") << bytes;
    EXPECT_TRUE(world.shows(5, 1)) << bytes;
  }
  for (const uint32_t bytes : {4097U, 0xffffffffU}) {
    World world;
    world.open();
    const uint32_t first = world.write({}, {5});
    store_be32(world.journal.block(first), 12, bytes);
    EXPECT_EQ(world.advance_code(), EUCLEAN) << bytes;
  }
}

TEST(JournalLog, RevokedBytesDoNotReachIntoTheChecksum) {
  World world(kind_named("v3"));
  world.open();
  const uint32_t first = world.write({}, {5});
  store_be32(world.journal.block(first), 12, 4093);
  world.journal.seal(world.journal.block(first));
  EXPECT_EQ(world.advance_code(), EUCLEAN);
}

TEST(JournalLog, TheLastOfTwoCopiesInATransactionCounts) {
  World world;
  world.open();
  const std::vector<JournalWrite> writes{{5, stamped_block(1)},
                                         {5, stamped_block(2)}};
  world.journal.write(writes);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.committed(5), stamped_block(2));
}

TEST(JournalLog, ATagMayCarryAnotherUuidEachTime) {
  World world;
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
  World world(kind_named("v3"));
  world.open();
  const uint32_t first = world.write({5});
  store_be32(world.journal.block(first), 12 + 8, 77);
  world.journal.seal(world.journal.block(first));
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLog, MoreTagsThanTheRingHasRoomForAreNoTransaction) {
  World world;
  world.open();
  auto out = world.journal.block(1);
  world.journal.put_header(out, 1, 1);
  for (size_t tag = 0; tag < 508; ++tag) {
    store_be32(out, 12 + tag * 8, 5);
    store_be16(out, 12 + tag * 8 + 6, 0x2);
  }
  const uint64_t before = world.device.reads();
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), 0U);
  EXPECT_LE(world.device.reads() - before, kJournalBlocks);
}

// The ring is full of one transaction's descriptors: it never commits.
TEST(JournalLog, ARingOfDescriptorsIsWalkedOnce) {
  World world;
  world.open();
  for (uint32_t at = 1; at < kJournalBlocks; ++at)
    world.journal.put_header(world.journal.block(at), at % 2 == 0 ? 1 : 5, 1);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_LE(world.device.reads(), kJournalBlocks);
}

// A ring of commits whose numbers go on would be read for ever.
TEST(JournalLog, ARingOfCommitsIsWalkedOnce) {
  World world;
  world.open();
  for (uint32_t at = 1; at < kJournalBlocks; ++at)
    world.journal.commit();
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_EQ(world.log.last_transaction(), kJournalBlocks - 1);
  EXPECT_LE(world.device.reads(), kJournalBlocks);
  const uint64_t before = world.device.reads();
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_LE(world.device.reads() - before, 2U);
}

TEST(JournalLog, V1WithoutAChecksumCountsUnlessCommitsAreAsynchronous) {
  for (const char* name : {"v1", "v1_async"}) {
    World world(kind_named(name));
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
    World world(kind_named("v1"));
    world.open();
    const uint32_t first = world.write({5});
    flip(world.journal.block(first + 2), field);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 0U);
  }
}

TEST(JournalLog, V1DoesNotCoverRevocations) {
  World world(kind_named("v1"));
  world.open();
  world.write({5, 6});
  const uint32_t second = world.write({7}, {5});
  store_be32(world.journal.block(second + 2), 16, 6);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1) && world.is_in_place(6));
}

TEST(JournalLog, AnAsynchronousCommitBeforeItsCopyDoesNotCount) {
  for (const char* name : {"v1_async", "v2_async64", "v3_async64"}) {
    World world(kind_named(name));
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
  World world(kind_named("v3"));
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

TEST(JournalLog, TheTailTakesItsTransactionsAlong) {
  World world;
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

TEST(JournalLog, AnEmptiedLogIsUsedAgain) {
  World world;
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

TEST(JournalLog, ALogEmptiedAndUsedAgainBetweenTwoLooks) {
  World world;
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

TEST(JournalLog, AWholeRingBetweenTwoLooks) {
  World world;
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

TEST(JournalLog, AJournalMadeElsewhereStartsAnew) {
  World world;
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

TEST(JournalLog, AnotherUuidStartsAnew) {
  World world;
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

TEST(JournalLog, ATailThatMovesBackStartsAnew) {
  World world;
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

TEST(JournalLog, AnotherTransactionOfTheSameNumberElsewhereStartsAnew) {
  World world;
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

TEST(JournalLog, AKeptTransactionWithoutItsCommitStartsAnew) {
  World world;
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

TEST(JournalLog, AnotherBlockWhereTheLastCommitWasStartsAnew) {
  // It is a descriptor, or another transaction's.
  for (const auto& [offset, value] : {std::pair(4U, 1U), {8U, 7U}}) {
    World world;
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

TEST(JournalLog, FeaturesThatTheGuestSetsLaterAreForWhatComesThen) {
  World world;
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
