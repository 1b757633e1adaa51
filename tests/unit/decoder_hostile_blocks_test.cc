// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest may write to harm whoever decodes it: blocks that are not a
// file's, maps that lead into themselves, attributes that overlap.
#include "images/ext_xattr_reader.h"
#include "tests/support/damage_fixture.h"

namespace ovl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class DecoderHostileBlocks : public DamageFixture {
 protected:
  explicit DecoderHostileBlocks(FsType type = FsType::kExt2)
      : DamageFixture(type) {}

  std::string number(std::string_view path) {
    return std::to_string(base_number(path));
  }
  void set_pointer(std::string_view path, uint32_t index, uint64_t block) {
    poke_inode(path, [&](ext2_inode_large& inode) {
      inode.i_block[index] = static_cast<uint32_t>(block);
    });
  }
  void expect_a_refused(const std::string& words, uint64_t block) {
    expect_refused("inode " + number("a") + ": " + words,
                   [&] { set_pointer("a", 0, block); });
  }
  uint32_t journal_block() {
    return peek_inode(Ino{EXT2_JOURNAL_INO}).i_block[0];
  }
  /// The attribute block of `path`, which gets one.
  uint32_t make_xattr_block(const std::string& path) {
    guest([&](GuestFs& fs) {
      return fs.set_xattr(path, "user.large", std::string(2000, 'v'));
    });
    take();
    return peek_inode(base_ino(path)).i_file_acl;
  }
};

TEST_F(DecoderHostileBlocks, OfAnotherFile) {
  const uint32_t block = base_block("d/inner", 2);
  expect_a_refused(
      fmt::format("block {} is of inode {}, too", block, number("d/inner")),
      block);
}

TEST_F(DecoderHostileBlocks, OfTwoFilesThatChanged) {
  const uint32_t block = free_block();
  expect_refused("in use twice", [&] {
    set_pointer("a", 0, block);
    set_pointer("d/inner", 0, block);
  });
  expect_refused("in use twice", [&] {
    set_pointer("d/inner", 0, block);
    set_pointer("d/inner", 4, block);
  });
}

TEST_F(DecoderHostileBlocks, OfAFileThatChangedAndKeepsIt) {
  const uint32_t block = base_block("d/inner", 2);
  expect_refused("is of inode " + number("d/inner"), [&] {
    set_pointer("a", 0, block);
    poke_inode("d/inner", [](ext2_inode_large& inode) { inode.i_mode ^= 1; });
  });
}

TEST_F(DecoderHostileBlocks, OfADirectoryOrASymlink) {
  expect_a_refused("block ", base_block("d"));
  expect_a_refused("block ", base_block("many", 3));
  expect_a_refused("block ", base_block("far"));
}

TEST_F(DecoderHostileBlocks, OfTheFileSystem) {
  expect_a_refused("block 1 is the file system's own", 1);
  expect_a_refused("block ", to_int(image_->block_bitmap(0)));
  expect_a_refused("block ", to_int(image_->inode_bitmap(0)));
  expect_a_refused("block ", to_int(image_->inode_block(Ino{1})));
  expect_a_refused("block ", to_int(image_->inode_block(Ino{17})));
  // The copy in group 1.
  expect_a_refused("block ", 32768);
}

TEST_F(DecoderHostileBlocks, OfTheJournal) {
  expect_a_refused(fmt::format("block {} is of inode 8, too", journal_block()),
                   journal_block());
  expect_a_refused("block ", journal_block() + 100);
}

TEST_F(DecoderHostileBlocks, OfAttributes) {
  const uint32_t block = make_xattr_block("tagged");
  expect_a_refused(fmt::format("block {} has attributes of inode {}", block,
                               number("tagged")),
                   block);
}

TEST_F(DecoderHostileBlocks, NotOnTheDevice) {
  const uint64_t end = image_->size() / kBlockSize;
  for (const uint64_t block : {end, end + 1, uint64_t{0xffffffff}})
    expect_a_refused(fmt::format("block {} is not on the device", block),
                     block);
}

TEST_F(DecoderHostileBlocks, PointersThatLeadIntoThemselves) {
  const uint32_t block = free_block();
  for (uint32_t at = 0; at < kBlockSize; at += 4)
    write_number(uint64_t{block} * kBlockSize + at, block);
  for (const int index : {EXT2_IND_BLOCK, EXT2_DIND_BLOCK, EXT2_TIND_BLOCK})
    expect_refused("inode " + number("a") + ": a block from", [&] {
      set_pointer("a", static_cast<uint32_t>(index), block);
    });
}

TEST_F(DecoderHostileBlocks, PointersToBlocksThatAreNoPointers) {
  expect_refused("inode " + number("a"), [&] {
    set_pointer("a", EXT2_TIND_BLOCK, base_block("d/inner"));
  });
}

TEST_F(DecoderHostileBlocks, SizesBeyondAll) {
  for (const char* path : {"a", "d", "link", "far"})
    expect_refused("inode " + number(path), [&] {
      poke_inode(path, [](ext2_inode_large& inode) {
        inode.i_size_high = 0x7fffffff;
      });
    });
}

// A guest can make it with truncate(2); it costs nothing.
TEST_F(DecoderHostileBlocks, ALargeSizeIsAHole) {
  poke_inode("a", [](ext2_inode_large& inode) { inode.i_size_high = 0xffe; });
  EXPECT_THAT(lines(take_mounted()),
              ElementsAre("changed " + number("a") +
                          " 100644 17583596112824 bytes 0+1"));
  EXPECT_LT(decoder_->catalog().memory_bytes(), 10'000U);
}

TEST_F(DecoderHostileBlocks, TheSizeOfADirectory) {
  for (const uint32_t size : {0U, 1U, 4095U, 8192U, 0xfffff000U})
    expect_refused("directory " + number("d"), [&] {
      poke_inode("d", [size](ext2_inode_large& i) { i.i_size = size; });
    });
  expect_refused("directory " + number("many") + ": its size", [&] {
    poke_inode("many", [](ext2_inode_large& i) { i.i_size -= kBlockSize; });
  });
}

TEST_F(DecoderHostileBlocks, AHoleInADirectory) {
  expect_refused("directory " + number("many") + ": it has a hole at block 1",
                 [&] { set_pointer("many", 1, 0); });
  expect_refused("directory " + number("d"), [&] { set_pointer("d", 0, 0); });
}

TEST_F(DecoderHostileBlocks, ADirectoryOverContent) {
  expect_refused("directory " + number("d"), [&] {
    set_pointer("a", 0, 0);
    set_pointer("d", 0, base_block("a"));
  });
}

TEST_F(DecoderHostileBlocks, AttributesThatAreNotOnTheDevice) {
  for (const uint64_t block :
       {image_->size() / kBlockSize, uint64_t{0xffffffff}})
    expect_refused("inode " + number("a") + ": its attributes", [&] {
      poke_inode("a", [block](ext2_inode_large& inode) {
        inode.i_file_acl = static_cast<uint32_t>(block);
      });
    });
  expect_refused("inode " + number("a") + ": its attributes", [&] {
    poke_inode("a", [](ext2_inode_large& inode) {
      inode.osd2.linux2.l_i_file_acl_high = 1;
    });
  });
}

TEST_F(DecoderHostileBlocks, AttributesInABlockOfAnother) {
  const uint32_t xattrs = make_xattr_block("tagged");
  const std::string block = read_block(xattrs);
  const auto steal = [&](uint64_t from) {
    write_bytes(from * kBlockSize, block);
    poke_inode("a", [&](ext2_inode_large& inode) {
      inode.i_file_acl = static_cast<uint32_t>(from);
    });
  };
  const std::string words = "are not its";
  expect_refused(
      words, [&] { steal(base_block("d/inner")); }, 1);
  expect_refused(words, [&] { steal(journal_block() + 5); });
  expect_refused(words, [&] { steal(32768); });  // a copy of the superblock
  expect_refused(words, [&] {
    const uint32_t mine = free_block();
    set_pointer("a", 1, mine);
    steal(mine);
  });
}

TEST_F(DecoderHostileBlocks, AttributesWithoutAHeader) {
  const uint32_t block = make_xattr_block("a");
  const std::string words = "inode " + number("a") + ": extended attr";
  expect_refused(words, [&] { write_number(uint64_t{block} * kBlockSize, 7); });
  expect_refused(words,
                 [&] { write_number(uint64_t{block} * kBlockSize + 8, 2); });
}

TEST_F(DecoderHostileBlocks, AttributesThatLeaveTheirBlock) {
  const uint64_t entry = uint64_t{make_xattr_block("a")} * kBlockSize + 32;
  const std::string words = "inode " + number("a") + ": extended attr";
  expect_refused(words, [&] { write_short(entry + 2, 4096); });   // its offset
  expect_refused(words, [&] { write_number(entry + 8, 4000); });  // its size
  expect_refused(words, [&] { write_number(entry + 8, 0xffffffff); });
  expect_refused(words, [&] { write_number(entry + 4, 12); });    // an inode
  expect_refused(words, [&] { write_bytes(entry, {"\0", 1}); });  // no name
  expect_refused(words, [&] { write_bytes(entry + 17, {"\0", 1}); });
}

TEST_F(DecoderHostileBlocks, AttributesThatOverlap) {
  const uint32_t block = make_xattr_block("a");
  const uint64_t entry = uint64_t{block} * kBlockSize + 32;
  expect_refused("overlaps", [&] { write_short(entry + 2, 40); });
  // A second one over the same value.
  const std::string first = read_block(block).substr(32, 24);
  expect_refused("overlaps", [&] {
    write_bytes(entry + 24, first);
    write_bytes(entry + 24 + 16, "b");
  });
}

TEST_F(DecoderHostileBlocks, AttributesTwice) {
  const uint32_t block = make_xattr_block("a");
  std::string second = read_block(block).substr(32, 24);
  std::memset(second.data() + 2, 0, 10);  // without a value
  expect_refused("a name is there twice", [&] {
    write_bytes(uint64_t{block} * kBlockSize + 32 + 24, second);
  });
}

TEST_F(DecoderHostileBlocks, InodesThatMakeNoSense) {
  const auto refuse = [this](const std::string& words, auto change) {
    expect_refused("inode " + number("a") + ": " + words,
                   [&] { poke_inode("a", change); });
  };
  using Inode = ext2_inode_large;
  refuse("its mode", [](Inode& inode) { inode.i_mode = 0x3000 | 0644; });
  refuse("its extra size", [](Inode& inode) { inode.i_extra_isize = 200; });
  refuse("its extra size", [](Inode& inode) { inode.i_extra_isize = 7; });
  refuse("its time", [](Inode& inode) { inode.i_mtime_extra = 0xfffffffc; });
  constexpr uint32_t kFlags[] = {EXT4_ENCRYPT_FL, EXT4_VERITY_FL,
                                 EXT4_EA_INODE_FL, EXT4_INLINE_DATA_FL,
                                 EXT4_CASEFOLD_FL};
  for (const uint32_t flag : kFlags)
    refuse("its flags", [flag](Inode& inode) { inode.i_flags |= flag; });
  refuse("a node of its extents",
         [](Inode& inode) { inode.i_flags |= EXT4_EXTENTS_FL; });
}

// One that says that it has a block has its target there.
TEST_F(DecoderHostileBlocks, ASymlinkThatIsFastNoMore) {
  expect_refused("inode " + number("link"), [&] {
    poke_inode("link", [](ext2_inode_large& inode) { inode.i_blocks = 8; });
  });
  expect_refused("inode " + number("far"), [&] {
    poke_inode("far", [](ext2_inode_large& inode) { inode.i_blocks = 0; });
  });
}

TEST_F(DecoderHostileBlocks, TargetsThatMakeNoSense) {
  expect_refused("inode " + number("link"), [&] { set_pointer("link", 0, 0); });
  for (const uint32_t size : {0U, 60U, 5000U})
    expect_refused("inode " + number("link") + ": its target", [&] {
      poke_inode("link", [size](ext2_inode_large& i) { i.i_size = size; });
    });
  expect_refused(
      "inode " + number("far") + ": its target",
      [&] {
        write_bytes(uint64_t{base_block("far")} * kBlockSize + 5, {"\0", 1});
      },
      1);
}

TEST_F(DecoderHostileBlocks, AFileSystemOfAnotherShape) {
  const auto refuse = [this](int code, auto change) {
    const MemoryDevice sound = *device_;
    change_superblock(change);
    EXPECT_EQ(decode_error().code(), code);
    device_->restore(sound);
    EXPECT_TRUE(take().empty());
  };
  using Super = ext2_super_block;
  refuse(ENOTSUP, [](Super& super) { super.s_desc_size = 64; });
  refuse(ENOTSUP, [](Super& super) { super.s_inodes_per_group += 16; });
  refuse(ENOTSUP, [](Super& super) { super.s_blocks_count -= 1; });
  refuse(EUCLEAN, [](Super& super) { super.s_blocks_count += 1; });
  refuse(ENOTSUP, [](Super& super) { super.s_inode_size = 128; });
  refuse(ENOTSUP, [](Super& super) { super.s_feature_incompat |= 0x8000; });
  refuse(ENOTSUP, [](Super& super) { super.s_feature_ro_compat |= 0x400; });
  refuse(ENOTSUP, [](Super& super) { super.s_feature_compat |= 0x400; });
  // One of its tables is elsewhere.
  const MemoryDevice sound = *device_;
  write_number(kBlockSize + 8, 3);
  EXPECT_EQ(decode_error().code(), ENOTSUP);
  device_->restore(sound);
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderHostileBlocks, AJournalThatIsNotWhereItWas) {
  const MemoryDevice sound = *device_;
  change_superblock([](ext2_super_block& super) { super.s_journal_inum = 12; });
  EXPECT_EQ(decode_error().code(), ENOTSUP);
  change_superblock([](ext2_super_block& super) {
    super.s_journal_inum = 8;
    super.s_feature_compat &= ~uint32_t{EXT3_FEATURE_COMPAT_HAS_JOURNAL};
    super.s_feature_incompat |= EXT3_FEATURE_INCOMPAT_RECOVER;
  });
  EXPECT_EQ(decode_error().code(), EUCLEAN);
  device_->restore(sound);
  poke_inode(Ino{EXT2_JOURNAL_INO},
             [](ext2_inode_large& inode) { inode.i_mode = S_IFDIR | 0600; });
  EXPECT_EQ(mounted_error().code(), EUCLEAN);
  EXPECT_EQ(decode_error().code(), EBUSY);  // tune2fs may be at it
  device_->restore(sound);
  EXPECT_TRUE(take().empty());
}

// Written in place the bitmap may come later, and then it is no state to take.
TEST_F(DecoderHostileBlocks, ABitmapThatDoesNotKnowAnAttributeBlock) {
  guest([](GuestFs& fs) {
    return fs.set_xattr("a", "user.large", std::string(2000, 'v'));
  });
  const uint32_t block = peek_inode(base_ino("a")).i_file_acl;
  const auto use = [&](const char* path, uint32_t attributes) {
    poke_inode(path, [attributes](ext2_inode_large& inode) {
      inode.i_file_acl = attributes;
    });
  };
  const auto expect_wrong_unless = [&](bool is_used) {
    set_block_used(block, !is_used);
    const Error error = decode_error();
    EXPECT_EQ(error.code(), EBUSY);
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("bitmap is wrong of block {}", block)));
    set_block_used(block, is_used);
    return lines(take());
  };
  EXPECT_THAT(expect_wrong_unless(true), SizeIs(1));
  write_number(uint64_t{block} * kBlockSize + 4, 2);
  use("d/inner", block);
  EXPECT_THAT(expect_wrong_unless(true), SizeIs(1));
  use("a", 0);
  EXPECT_THAT(expect_wrong_unless(true), SizeIs(1));
  use("d/inner", 0);
  EXPECT_THAT(expect_wrong_unless(false), SizeIs(1));
}

// As a kernel leaves it that found the file system corrupt and could not tell
// the superblock any more. e2fsck takes the note away.
TEST_F(DecoderHostileBlocks, AnErrorNotedInTheJournal) {
  const uint64_t error = uint64_t{journal_block()} * kBlockSize + 0x20;
  const auto note = [&](int number) {
    write_number(error, htobe32(static_cast<uint32_t>(number)));
  };
  const std::string words =
      fmt::format("journal: the guest gave it up with error {}", -EIO);
  note(-EIO);
  poke_inode("a", [](ext2_inode_large& inode) { inode.i_mode ^= 1; });
  for (const Error& refused : {mounted_error(), decode_error()}) {
    EXPECT_EQ(refused.code(), EBUSY);
    EXPECT_THAT(refused.what(), HasSubstr(words));
  }
  note(0);
  EXPECT_THAT(lines(take_mounted()),
              ElementsAre("changed " + number("a") + " 100645 mode"));
}

// tune2fs -O ^has_journal, behind a mount that used it.
TEST_F(DecoderHostileBlocks, AJournalThatIsTakenAway) {
  const uint64_t start = uint64_t{journal_block()} * kBlockSize + 0x1c;
  write_number(start, 0x01000000);  // in use, and nothing in it
  EXPECT_TRUE(take_mounted().empty());
  change_superblock([](ext2_super_block& super) {
    super.s_feature_compat &= ~uint32_t{EXT3_FEATURE_COMPAT_HAS_JOURNAL};
    super.s_journal_inum = 0;
  });
  poke_inode("a", [](ext2_inode_large& inode) { inode.i_mode ^= 1; });
  EXPECT_THAT(lines(take()),
              ElementsAre("changed " + number("a") + " 100645 mode"));
}

class DecoderHostileExtents : public DecoderHostileBlocks {
 protected:
  DecoderHostileExtents() : DecoderHostileBlocks(FsType::kExt4) {}

  void expect_map_refused(const std::string& words, const ExtentNode& root) {
    expect_refused("inode " + number("a") + ": " + words,
                   [&] { poke_map("a", root.bytes()); });
  }
  void expect_tree_refused(const std::string& words, const ExtentNode& root,
                           const ExtentNode& below) {
    expect_refused("inode " + number("a") + ": " + words, [&] {
      write_bytes(uint64_t{free_block()} * kBlockSize, below.bytes());
      poke_map("a", root.bytes());
    });
  }
};

TEST_F(DecoderHostileExtents, Nodes) {
  ExtentNode node(0);
  node.extent(0, 1, free_block());
  std::string bytes = node.bytes();
  const auto refuse = [&](size_t at, char value) {
    std::string damaged = bytes;
    damaged[at] = value;
    expect_refused("inode " + number("a") + ": ",
                   [&] { poke_map("a", damaged); });
  };
  refuse(0, 7);   // no magic number
  refuse(2, 5);   // more than there is room for
  refuse(3, 1);   // far more
  refuse(6, 1);   // an extent as an index
  refuse(6, 6);   // too deep
  refuse(16, 0);  // no blocks
  refuse(18, 1);  // behind 2^32
}

TEST_F(DecoderHostileExtents, OutOfOrder) {
  const uint32_t block = free_block(100);
  expect_map_refused("its extents are out of order",
                     ExtentNode(0).extent(5, 1, block).extent(3, 1, block + 1));
  expect_map_refused("its extents are out of order",
                     ExtentNode(0).extent(0, 2, block).extent(1, 2, block + 2));
  expect_map_refused("its extents are out of order",
                     ExtentNode(0).extent(0xfffffffe, 2, block));
}

TEST_F(DecoderHostileExtents, BlocksTwiceOrNowhere) {
  const uint32_t block = free_block(100);
  expect_map_refused("a block from",
                     ExtentNode(0).extent(0, 5, block).extent(5, 5, block + 4));
  expect_map_refused("block 0 is not on", ExtentNode(0).extent(0, 1, 0));
  const auto end = static_cast<uint32_t>(image_->size() / kBlockSize);
  expect_map_refused("block ", ExtentNode(0).extent(0, 2, end - 1));
  expect_map_refused("block ", ExtentNode(0).extent(0, 32768, 0xffffff00));
  expect_map_refused("block ", ExtentNode(1).index(0, end));
  expect_map_refused("block ",
                     ExtentNode(0).extent(0, 20, base_block("d") - 5));
  // Unwritten ones are claimed, too.
  expect_map_refused("block ",
                     ExtentNode(0).extent(0, 32769, base_block("d/inner")));
}

TEST_F(DecoderHostileExtents, TreesThatLeadIntoThemselves) {
  const uint32_t node = free_block();
  expect_tree_refused("a block from", ExtentNode(2).index(0, node),
                      ExtentNode(1, 340).index(0, node));
  expect_tree_refused("a block from", ExtentNode(1).index(0, node),
                      ExtentNode(0, 340).extent(0, 1, node));
  expect_tree_refused("a block from",
                      ExtentNode(1).index(0, node).index(5, node),
                      ExtentNode(0, 340).extent(0, 1, free_block(3)));
}

TEST_F(DecoderHostileExtents, DepthsThatLie) {
  const uint32_t node = free_block();
  expect_tree_refused("a node of its extents", ExtentNode(1).index(0, node),
                      ExtentNode(1, 340).index(0, free_block(3)));
  expect_tree_refused("a node of its extents", ExtentNode(2).index(0, node),
                      ExtentNode(0, 340).extent(0, 1, free_block(3)));
  expect_tree_refused("an index of its extents is empty", ExtentNode(1),
                      ExtentNode(0, 340));
  expect_tree_refused("an index of its extents is empty",
                      ExtentNode(2).index(0, node), ExtentNode(1, 340));
}

TEST_F(DecoderHostileExtents, ANodeThatSpeaksOfOthersBlocks) {
  const uint32_t node = free_block();
  expect_tree_refused("its extents are out of order",
                      ExtentNode(1).index(5, node),
                      ExtentNode(0, 340).extent(4, 1, free_block(3)));
  expect_tree_refused("its extents are out of order",
                      ExtentNode(1).index(0, node).index(3, free_block(4)),
                      ExtentNode(0, 340).extent(2, 2, free_block(3)));
}

TEST_F(DecoderHostileExtents, PointersInsteadOfExtents) {
  expect_refused("inode " + number("a"), [&] {
    poke_inode("a", [](ext2_inode_large& inode) {
      inode.i_flags &= ~uint32_t{EXT4_EXTENTS_FL};
    });
  });
}

TEST_F(DecoderHostileExtents, ADirectoryOfUnwrittenBlocks) {
  expect_refused("directory " + number("d") + ": it has a hole", [&] {
    poke_map("d", ExtentNode(0).extent(0, 32769, base_block("d")).bytes());
  });
}

}  // namespace
}  // namespace ovl
