// SPDX-License-Identifier: BSD-3-Clause
//
// Journals that we cannot read, and journals that make no sense.
#include "images/journal/journal_log.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/journal_world.h"

namespace ovl {
namespace {

using ::testing::HasSubstr;
using ::testing::ValuesIn;

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
  JournalWorld world;
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

TEST(JournalLogHostile, TwoChecksumsOfDifferentAgesAreRefused) {
  JournalKind both = kind_named("v3");
  both.compat = 1;
  JournalWorld world(both);
  EXPECT_EQ(world.advance_code(), ENOTSUP);
}

TEST(JournalLogHostile, AnUnknownKindOfChecksumIsRefused) {
  JournalWorld world(kind_named("v3"));
  world.journal.block(0)[0x50] = std::byte{1};
  world.journal.seal_superblock();
  EXPECT_EQ(world.advance_code(), ENOTSUP);
}

TEST(JournalLogHostile, TheSuperblockIsChecked) {
  for (const char* name : {"v2", "v3"}) {
    JournalWorld world(kind_named(name));
    flip(world.journal.block(0), 0x200);
    EXPECT_EQ(world.advance_code(), EUCLEAN);
    EXPECT_THAT(world.advance_error(), HasSubstr("checksum"));
  }
}

TEST(JournalLogHostile, JournalFilesThatMakeNoSenseAreErrors) {
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

TEST(JournalLogHostile, AnErrorOfReadingIsPassedOn) {
  JournalWorld world;
  world.open();
  const uint32_t first = world.write({5});
  world.device.fail_at(world.journal.at(first));
  EXPECT_EQ(world.advance_code(), EIO);
  world.device.fail_at(BlockNo{~uint64_t{0}});
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_TRUE(world.shows(5, 1));
}

TEST(JournalLogHostile, ABlockOfAnotherTypeEndsTheLog) {
  for (const uint32_t type : {0U, 3U, 4U, 6U, 0xffffffffU}) {
    JournalWorld world;
    world.open();
    world.write({5});
    const uint32_t second = world.write({6});
    store_be32(world.journal.block(second), 4, type);
    ASSERT_EQ(world.advance_error(), "");
    EXPECT_EQ(world.log.last_transaction(), 1U) << type;
  }
}

TEST(JournalLogHostile, ARevocationOfHighBlocksNeeds64Bits) {
  JournalWorld world(kind_named("plain64"));
  world.open();
  world.write({5});
  world.write({}, {uint64_t{1} << 32 | 5});
  EXPECT_EQ(world.advance_code(), EUCLEAN);
}

TEST(JournalLogHostile, TheNumberOfRevokedBytesIsChecked) {
  for (const uint32_t bytes : {0U, 12U, 15U, 16U, 19U}) {
    JournalWorld world;
    world.open();
    world.write({5});
    const uint32_t second = world.write({}, {5});
    store_be32(world.journal.block(second), 12, bytes);
    ASSERT_EQ(world.advance_error(), "") << bytes;
    EXPECT_TRUE(world.shows(5, 1)) << bytes;
  }
  for (const uint32_t bytes : {4097U, 0xffffffffU}) {
    JournalWorld world;
    world.open();
    const uint32_t first = world.write({}, {5});
    store_be32(world.journal.block(first), 12, bytes);
    EXPECT_EQ(world.advance_code(), EUCLEAN) << bytes;
  }
}

TEST(JournalLogHostile, RevokedBytesDoNotReachIntoTheChecksum) {
  JournalWorld world(kind_named("v3"));
  world.open();
  const uint32_t first = world.write({}, {5});
  store_be32(world.journal.block(first), 12, 4093);
  world.journal.seal(world.journal.block(first));
  EXPECT_EQ(world.advance_code(), EUCLEAN);
}

TEST(JournalLogHostile, MoreTagsThanTheRingHasRoomForAreNoTransaction) {
  JournalWorld world;
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
TEST(JournalLogHostile, ARingOfDescriptorsIsWalkedOnce) {
  JournalWorld world;
  world.open();
  for (uint32_t at = 1; at < kJournalBlocks; ++at)
    world.journal.put_header(world.journal.block(at), at % 2 == 0 ? 1 : 5, 1);
  ASSERT_EQ(world.advance_error(), "");
  EXPECT_LE(world.device.reads(), kJournalBlocks);
}

// A ring of commits whose numbers go on would be read for ever.
TEST(JournalLogHostile, ARingOfCommitsIsWalkedOnce) {
  JournalWorld world;
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
}  // namespace
}  // namespace ovl
