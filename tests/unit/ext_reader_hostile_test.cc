// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest may have written to harm us: each must be refused, with words.
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "images/ext_xattr_reader.h"
#include "tests/support/ext_reader_fixture.h"

namespace ovl {
namespace {

using testing::HasSubstr;

class ExtReaderHostile : public ExtReaderFixture {
 protected:
  void expect_refused(const std::string& words) {
    const Error error = read_error();
    EXPECT_EQ(error.code(), EUCLEAN);
    EXPECT_THAT(error.what(), HasSubstr(words));
  }

  uint64_t offset_of_block(std::string_view path, uint64_t file_block) {
    return to_int(*image_->block_of(id(path), file_block)) * kBlockSize;
  }

  /// Where the entry called `name` begins in the first block of `directory`.
  uint64_t offset_of_entry(std::string_view directory, std::string_view name) {
    const uint64_t start = offset_of_block(directory, 0);
    std::string block(kBlockSize, '\0');
    EXPECT_TRUE(device_->read(start, std::as_writable_bytes(std::span(block)))
                    .has_value());
    const size_t at = block.find(std::string(name));
    EXPECT_NE(at, std::string::npos);
    return start + at - 8;
  }

  void write_number(uint64_t offset, uint32_t value) {
    write_bytes(offset, {reinterpret_cast<const char*>(&value), sizeof value});
  }

  uint32_t ino(std::string_view path) const {
    return to_int(image_->ino_of(id(path)));
  }

  uint64_t group_block(blk64_t (*location)(ext2_filsys, dgrp_t)) {
    const auto fs = GuestFs::open(*device_);
    return location(fs->fs(), 0) * kBlockSize;
  }
};

TEST_F(ExtReaderHostile, ASlashInAName) {
  write_bytes(offset_of_entry("d", "inner") + 8, "in/er");
  expect_refused("slash");
}

TEST_F(ExtReaderHostile, ANulInAName) {
  write_bytes(offset_of_entry("d", "inner") + 8, {"in\0er", 5});
  expect_refused("NUL");
}

TEST_F(ExtReaderHostile, ANameTwice) {
  write_bytes(offset_of_entry("d", "hard2") + 8, "inner");
  expect_refused("twice");
}

TEST_F(ExtReaderHostile, AnEntryThatLeavesItsBlock) {
  write_bytes(offset_of_entry("d", "inner") + 4, {"\xfc\x0f", 2});
  expect_refused("length");
}

TEST_F(ExtReaderHostile, AnEntryOfNoLength) {
  write_bytes(offset_of_entry("d", "inner") + 4, {"\0\0", 2});
  expect_refused("length 0");
}

TEST_F(ExtReaderHostile, ANameOfAFreeInode) {
  write_number(offset_of_entry("d", "inner"), 60000);
  expect_refused("leads to inode 60000");
}

TEST_F(ExtReaderHostile, ANameOfTheJournal) {
  write_number(offset_of_entry("d", "inner"), 8);
  expect_refused("leads to inode 8");
}

TEST_F(ExtReaderHostile, ANumberOutOfRange) {
  write_number(offset_of_entry("d", "inner"), 0xfffffff0);
  expect_refused("leads to inode 4294967280");
}

TEST_F(ExtReaderHostile, AWrongFileType) {
  write_bytes(offset_of_entry("d", "inner") + 7, "\2");
  expect_refused("file type");
}

TEST_F(ExtReaderHostile, ADirectoryInItself) {
  write_number(offset_of_entry("deep", "er"), ino("deep"));
  expect_refused("second name");
}

TEST_F(ExtReaderHostile, ACycleOutOfReach) {
  // deep/er becomes the parent of deep, and the root loses deep to it.
  guest([](GuestFs& fs) { return fs.mkdir("deep/er/x", 0755); });
  write_number(offset_of_entry("deep/er", "x"), ino("deep"));
  write_number(offset_of_entry("", "deep"), 0);
  change_inode("", [](ext2_inode_large& root) { --root.i_links_count; });
  expect_refused("has no name");
}

TEST_F(ExtReaderHostile, ARootWithAName) {
  write_number(offset_of_entry("deep", "er"), EXT2_ROOT_INO);
  expect_refused("second name");
}

TEST_F(ExtReaderHostile, AWrongParent) {
  write_number(offset_of_block("deep/er", 0) + 12, ino("d"));
  expect_refused("'/deep/er'");
}

TEST_F(ExtReaderHostile, AWrongSelf) {
  write_number(offset_of_block("deep/er", 0), ino("d"));
  expect_refused("'.' is another inode");
}

TEST_F(ExtReaderHostile, TooManyLinks) {
  change_inode("a", [](ext2_inode_large& inode) { inode.i_links_count = 7; });
  expect_refused("'/a') has a link count of 7");
}

TEST_F(ExtReaderHostile, NoLinks) {
  change_inode("a", [](ext2_inode_large& inode) { inode.i_links_count = 0; });
  expect_refused("no name links to it");
}

TEST_F(ExtReaderHostile, ALostName) {
  write_number(offset_of_entry("d", "inner"), 0);
  expect_refused("has no name");
}

TEST_F(ExtReaderHostile, ABlockClaimedTwice) {
  const auto stolen =
      static_cast<uint32_t>(to_int(*image_->block_of(id("d/inner"), 0)));
  change_inode(
      "a", [stolen](ext2_inode_large& inode) { inode.i_block[0] = stolen; });
  expect_refused("claimed twice");
}

TEST_F(ExtReaderHostile, AFileOverTheInodeTable) {
  const uint64_t table = group_block(ext2fs_inode_table_loc) / kBlockSize;
  change_inode("a", [table](ext2_inode_large& inode) {
    inode.i_block[0] = static_cast<uint32_t>(table);
  });
  expect_refused("claimed twice");
}

TEST_F(ExtReaderHostile, ABlockOutsideOfTheDevice) {
  change_inode("a",
               [](ext2_inode_large& inode) { inode.i_block[0] = 0xfffffff0; });
  expect_refused("outside");
}

TEST_F(ExtReaderHostile, AnIndirectBlockThatPointsAtItself) {
  uint32_t triple = 0;
  guest([&triple, this](GuestFs& fs) -> Status {
    OVL_TRY(write_text(fs, "sparse", uint64_t{5} << 30, "end"));
    const GuestInode inode = OVL_TRY(fs.read_inode(Ino{ino("sparse")}));
    triple = inode.fields.i_block[EXT2_TIND_BLOCK];
    return {};
  });
  for (uint32_t i = 0; i < kBlockSize / 4; ++i)
    write_number(uint64_t{triple} * kBlockSize + uint64_t{4} * i, triple);
  expect_refused("claimed twice");
}

TEST_F(ExtReaderHostile, AFileOfAbsurdSize) {
  change_inode("a",
               [](ext2_inode_large& inode) { inode.i_size_high = 0x7fffffff; });
  expect_refused("size is");
}

TEST_F(ExtReaderHostile, ADirectoryOfAbsurdSize) {
  change_inode("d",
               [](ext2_inode_large& inode) { inode.i_size_high = 0x7fffffff; });
  expect_refused("directory");
}

TEST_F(ExtReaderHostile, ATargetWithANul) {
  change_inode("link", [](ext2_inode_large& inode) { inode.i_block[0] = 0; });
  expect_refused("NUL");
}

TEST_F(ExtReaderHostile, ATargetTooLong) {
  change_inode("link", [](ext2_inode_large& inode) { inode.i_size = 60; });
  expect_refused("target");
}

TEST_F(ExtReaderHostile, AnUnknownType) {
  change_inode("a", [](ext2_inode_large& inode) { inode.i_mode = 0x3000; });
  expect_refused("mode");
}

TEST_F(ExtReaderHostile, MoreNanosecondsThanASecond) {
  change_inode(
      "a", [](ext2_inode_large& inode) { inode.i_mtime_extra = 0xfffffffc; });
  expect_refused("nanoseconds");
}

TEST_F(ExtReaderHostile, ExtentsWithoutTheFeature) {
  change_inode(
      "a", [](ext2_inode_large& inode) { inode.i_flags |= EXT4_EXTENTS_FL; });
  expect_refused("extents");
}

TEST_F(ExtReaderHostile, AWrongBlockCount) {
  change_inode("a", [](ext2_inode_large& inode) { inode.i_blocks = 800; });
  expect_refused("says");
}

TEST_F(ExtReaderHostile, ABlockInUseThatTheBitmapSaysIsFree) {
  const uint64_t block = to_int(*image_->block_of(id("a"), 0));
  const uint64_t bitmap = group_block(ext2fs_block_bitmap_loc);
  write_bytes(bitmap + block / 8, {"\0", 1});
  expect_refused("marked free");
}

TEST_F(ExtReaderHostile, ALeakedBlock) {
  const uint64_t bitmap = group_block(ext2fs_block_bitmap_loc);
  write_bytes(bitmap + kBlockSize - 1, "\xff");
  expect_refused("unused");
}

TEST_F(ExtReaderHostile, AnInodeMarkedFree) {
  const uint64_t bitmap = group_block(ext2fs_inode_bitmap_loc);
  write_bytes(bitmap + 1, {"\0", 1});
  expect_refused("but unused");
}

TEST_F(ExtReaderHostile, AnAttributeBlockThatIsNone) {
  const auto stolen =
      static_cast<uint32_t>(to_int(*image_->block_of(id("d/inner"), 0)));
  change_inode("a", [stolen](ext2_inode_large& inode) {
    inode.i_file_acl = stolen;
    inode.i_blocks += 8;
  });
  expect_refused("attributes");
}

TEST_F(ExtReaderHostile, AnAttributeBlockWithAWrongCountOfUsers) {
  uint32_t block = 0;
  guest([&block, this](GuestFs& fs) -> Status {
    OVL_TRY(fs.set_xattr("a", "user.large", std::string(2000, 'v')));
    const GuestInode inode = OVL_TRY(fs.read_inode(Ino{ino("a")}));
    block = inode.fields.i_file_acl;
    return {};
  });
  write_number(uint64_t{block} * kBlockSize + 4, 9);
  expect_refused("users");
}

TEST_F(ExtReaderHostile, AJournalInUse) {
  const auto fs = GuestFs::open(*device_);
  const GuestInode journal = *fs->read_inode(Ino{EXT2_JOURNAL_INO});
  const uint64_t first = journal.fields.i_block[0];
  write_number(first * kBlockSize + 0x1c, 0x01000000);
  EXPECT_EQ(read_error().code(), EBUSY);
}

TEST_F(ExtReaderHostile, AnErrorNotedInTheJournal) {
  const auto fs = GuestFs::open(*device_);
  const GuestInode journal = *fs->read_inode(Ino{EXT2_JOURNAL_INO});
  const uint64_t first = journal.fields.i_block[0];
  write_number(first * kBlockSize + 0x20, htobe32(static_cast<uint32_t>(-EIO)));
  EXPECT_EQ(read_error().code(), EBUSY);
}

// Whatever is flipped: an answer or a refusal, and never a crash.
TEST_F(ExtReaderHostile, RandomDamageNeverCrashes) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(write_text(fs, "sparse", uint64_t{5} << 30, "end"));
    OVL_TRY(fs.set_xattr("a", "user.large", std::string(2000, 'v')));
    OVL_TRY(fs.set_xattr("tagged", "user.more", "m"));
    return fs.rename("deep", "d/deep");
  });
  std::vector<uint64_t> numbers;
  for (const auto& [number, block] : device_->written())
    numbers.push_back(number);
  const MemoryDevice before = *device_;
  std::mt19937 random(20240607);
  for (int round = 0; round < 300; ++round) {
    const uint64_t block = numbers[random() % numbers.size()];
    write_number(block * kBlockSize + random() % 512 * 4,
                 random() % 3 == 0 ? static_cast<uint32_t>(random())
                                   : static_cast<uint32_t>(random() % 3000));
    if (try_read().has_value())
      static_cast<void>(reader_->open_file(Ino{ino("sparse")}));
    reader_.reset();
    device_->restore(before);
  }
}

TEST(SortedXattrs, OfTwoWithOneNameTheFirstCounts) {
  XattrSet set{{"user.b", "first"}, {"user.a", "only"}, {"user.b", "second"}};
  sort_xattrs(set);
  EXPECT_EQ(set, (XattrSet{{"user.a", "only"}, {"user.b", "first"}}));
}

}  // namespace
}  // namespace ovl
