// SPDX-License-Identifier: BSD-3-Clause
//
// States that a kernel leaves between two checkpoints, made by hand: what of
// them is a change, and what is not yet or no more.
#include "tests/support/damage_fixture.h"

namespace ovl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;
using testing::UnorderedElementsAre;

class DecoderStateStory : public DamageFixture {
 protected:
  explicit DecoderStateStory(FsType type = FsType::kExt2)
      : DamageFixture(type) {}

  // Times of directories that a change of names touches say nothing new.
  std::vector<std::string> told(const Changes& changes) {
    auto all = lines(changes);
    std::erase_if(all, [](const std::string& line) {
      return line.starts_with("changed") && line.ends_with("40755 time");
    });
    return all;
  }
  std::string number(std::string_view path) {
    return std::to_string(base_number(path));
  }
  std::string now_number(std::string_view path) {
    return std::to_string(to_int(ino(path)));
  }
  std::string content_of(std::string_view path, size_t length) {
    auto file = decoder_->open_file(base_ino(path));
    EXPECT_TRUE(file.has_value());
    std::string bytes(length, '\0');
    EXPECT_TRUE((*file)->read(0, std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }
  void set_generation(std::string_view path, uint32_t generation) {
    poke_inode(path, [generation](ext2_inode_large& inode) {
      inode.i_generation = generation;
    });
  }
  void set_birth(std::string_view path, uint32_t time) {
    poke_inode(path, [time](ext2_inode_large& inode) {
      inode.i_crtime = time;
      inode.i_crtime_extra = 0;
    });
  }
  void clear(Ino ino) {
    poke_inode(ino, [](ext2_inode_large& inode) {
      inode.i_size = 0;
      inode.i_blocks = 0;
      inode.i_dtime = 7;
      std::memset(inode.i_block, 0, sizeof inode.i_block);
    });
    set_inode_used(ino, false);
  }
};

TEST_F(DecoderStateStory, UnlinkedAndOpenIsGoneAndKept) {
  const std::string a = number("a");
  write_number(offset_of_entry("", "a"), 0);
  poke_inode("a", [](ext2_inode_large& inode) { inode.i_links_count = 0; });
  EXPECT_THAT(told(take_mounted()), ElementsAre("gone " + a + " 100644 kept",
                                                "2 'a': " + a + " now none"));
  clear(base_ino("a"));
  set_block_used(base_block("a"), false);
  EXPECT_THAT(told(take_mounted()), IsEmpty());
  // Its block is another's now.
  poke_inode("many/name5", [&](ext2_inode_large& inode) {
    inode.i_block[0] = base_block("a");
    inode.i_size = 10;
    inode.i_blocks = 8;
  });
  EXPECT_THAT(
      told(take_mounted()),
      ElementsAre("changed " + number("many/name5") + " 100644 10 bytes 0+1"));
}

TEST_F(DecoderStateStory, ADirectoryRemovedWhileItIsOpen) {
  const std::string empty = number("empty");
  write_number(offset_of_entry("", "empty"), 0);
  poke_inode(Ino{EXT2_ROOT_INO},
             [](ext2_inode_large& root) { --root.i_links_count; });
  poke_inode("empty", [](ext2_inode_large& inode) {
    inode.i_links_count = 0;
    inode.i_size = 0;
  });
  EXPECT_THAT(told(take_mounted()),
              ElementsAre("gone " + empty + " 40755 kept",
                          "2 'empty': " + empty + " now none"));
  clear(base_ino("empty"));
  EXPECT_THAT(told(take_mounted()), IsEmpty());
}

TEST_F(DecoderStateStory, AFileWithoutANameGetsOneLater) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("d/tmp", S_IFREG | 0644));
    return write_text(fs, "d/tmp", 4090, "across two blocks");
  });
  const Ino tmp = ino("d/tmp");
  const uint64_t entry = offset_of_entry("d", "tmp");
  write_number(entry, 0);
  poke_inode(tmp, [](ext2_inode_large& inode) { inode.i_links_count = 0; });
  EXPECT_THAT(told(take_mounted()), IsEmpty());
  EXPECT_THAT(told(take_mounted()), IsEmpty());
  write_number(entry, to_int(tmp));
  poke_inode(tmp, [](ext2_inode_large& inode) { inode.i_links_count = 1; });
  EXPECT_THAT(
      told(take_mounted()),
      ElementsAre(
          fmt::format("made {} 100644 all 0 xattrs 4107 bytes 0+2",
                      to_int(tmp)),
          fmt::format("{} 'tmp': none now {}", number("d"), to_int(tmp))));
}

// chattr -v: the owner of a file may do so.
TEST_F(DecoderStateStory, AnotherGenerationAloneIsNoOtherObject) {
  set_generation("a", 77);
  set_generation("deep/er", 78);
  set_generation("", 79);
  EXPECT_TRUE(take_mounted().empty());
  guest([](GuestFs& fs) { return fs.rename("a", "b"); });
  const Changes changes = take();
  ASSERT_EQ(changes.names.size(), 2U);
  EXPECT_EQ(changes.names[0].before, changes.names[1].now);
  EXPECT_EQ(changes.names[0].before->generation,
            generation_of(ExtInode(image_->inode_bytes(base_ino("a")))));
  guest([](GuestFs& fs) { return fs.remove_tree("deep"); });
  EXPECT_EQ(find(take(), base_ino("deep/er"))->source, id("deep/er"));
}

// With e2fsck -D, which writes names elsewhere.
TEST_F(DecoderStateStory, AnotherGenerationAndAllNamesMadeAnew) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.rename("a", "b"));
    return fs.rename("b", "a");
  });
  decoder_->note_written(BlockNo{base_block("")}, 1);
  set_generation("a", 77);
  EXPECT_THAT(told(take()), IsEmpty());
}

// debugfs can do so.
TEST_F(DecoderStateStory, AnotherTimeOfBirthAloneIsNoOtherObject) {
  set_birth("a", 77);
  set_birth("deep/er", 0);
  set_birth("", 79);
  EXPECT_TRUE(take_mounted().empty());
  guest([](GuestFs& fs) { return fs.rename("a", "b"); });
  EXPECT_THAT(take().names, SizeIs(2));
}

// As of a driver that leaves it out.
TEST_F(DecoderStateStory, WithoutATimeOfBirthTheGenerationTells) {
  const std::string a = number("a");
  const auto make = [&](uint32_t generation) {
    set_birth("a", 0);
    set_generation("a", generation);
    decoder_->note_written(BlockNo{base_block("")}, 1);
    return told(take_mounted());
  };
  EXPECT_THAT(make(77), Contains("gone " + a + " 100644"));
  EXPECT_THAT(make(77), IsEmpty());
  EXPECT_THAT(make(78), Contains("gone " + a + " 100644"));
}

TEST_F(DecoderStateStory, AnotherGenerationAndOneOfTwoNamesMoved) {
  guest([](GuestFs& fs) { return fs.rename("hard1", "hard3"); });
  set_generation("hard1", 77);
  const std::string hard = number("hard1");
  EXPECT_THAT(told(take()), ElementsAre("2 'hard1': " + hard + " now none",
                                        "2 'hard3': none now " + hard));
}

// Made again with the same number, in the same block, with the same name in it.
TEST_F(DecoderStateStory, ADirectoryReplacedTellsAllOfItsNames) {
  const std::string d = number("d");
  set_birth("d", 77);
  poke_inode("d", [](ext2_inode_large& inode) { inode.i_mode ^= 070; });
  decoder_->note_written(BlockNo{base_block("")}, 1);
  const Changes changes = take_mounted();
  EXPECT_THAT(lines(changes),
              UnorderedElementsAre(
                  "gone " + d + " 40755", "made " + d + " 40725 all 0 xattrs",
                  "2 'd': " + d + " now " + d,
                  d + " 'hard2': " + number("hard1") + " now none",
                  d + " 'hard2': none now " + number("hard1"),
                  d + " 'inner': " + number("d/inner") + " now none",
                  d + " 'inner': none now " + number("d/inner")));
}

TEST_F(DecoderStateStory, BytesBehindTheEndShowWhenTheFileGrows) {
  write_bytes(uint64_t{base_block("a")} * kBlockSize + 3000,
              std::string(150, 't'));
  EXPECT_THAT(told(take_mounted()),
              ElementsAre("changed " + number("a") + " 100644 3000 bytes 0+1"));
  poke_inode("a", [](ext2_inode_large& inode) { inode.i_size = 3150; });
  EXPECT_THAT(told(take_mounted()),
              ElementsAre("changed " + number("a") + " 100644 3150 bytes 0+1"));
  EXPECT_EQ(content_of("a", 3150), made_content("a") + std::string(150, 't'));
}

TEST_F(DecoderStateStory, DataThatIsWrittenBeforeItIsAFiles) {
  const uint32_t block = free_block();
  write_bytes(uint64_t{block} * kBlockSize, "early");
  EXPECT_TRUE(take_mounted().empty());
  set_block_used(block, true);
  poke_inode("many/name7", [block](ext2_inode_large& inode) {
    inode.i_block[0] = block;
    inode.i_blocks = 8;
    inode.i_size = 5;
  });
  EXPECT_THAT(
      told(take_mounted()),
      ElementsAre("changed " + number("many/name7") + " 100644 5 bytes 0+1"));
  EXPECT_EQ(content_of("many/name7", 5), "early");
}

TEST_F(DecoderStateStory, TwoFilesThatSwapABlock) {
  poke_inode("a", [&](ext2_inode_large& inode) {
    inode.i_block[0] = base_block("d/inner", 1);
  });
  poke_inode("d/inner", [&](ext2_inode_large& inode) {
    inode.i_block[1] = base_block("a");
  });
  EXPECT_THAT(
      told(take()),
      UnorderedElementsAre(
          "changed " + number("a") + " 100644 3000 bytes 0+1 moved",
          "changed " + number("d/inner") + " 100644 20000 bytes 1+1 moved"));
  // And the catalog knows whose block is whose.
  write_bytes(uint64_t{base_block("a")} * kBlockSize, "new");
  EXPECT_THAT(told(take()), ElementsAre("changed " + number("d/inner") +
                                        " 100644 20000 bytes 1+1"));
}

TEST_F(DecoderStateStory, BlocksBackWhereTheyWereAreAsInTheBaseImage) {
  const auto swap = [this](const char* first, const char* second) {
    const uint32_t one = base_block(first);
    const uint32_t other = base_block(second);
    poke_inode("a", [&](auto& inode) { inode.i_block[0] = one; });
    poke_inode("d/inner", [&](auto& inode) { inode.i_block[0] = other; });
    take();
    return decoder_->catalog().inode_count();
  };
  EXPECT_EQ(swap("d/inner", "a"), 2U);
  EXPECT_EQ(swap("a", "d/inner"), 0U);
}

TEST_F(DecoderStateStory, ARangeIsCollapsedAndInserted) {
  poke_inode("d/inner", [&](ext2_inode_large& inode) {
    std::memmove(inode.i_block, inode.i_block + 1, 4 * sizeof(uint32_t));
    inode.i_block[4] = 0;
    inode.i_blocks -= 8;
    inode.i_size -= kBlockSize;
  });
  set_block_used(base_block("d/inner"), false);
  EXPECT_THAT(told(take()), ElementsAre("changed " + number("d/inner") +
                                        " 100644 15904 bytes 0+4 moved"));
  poke_inode("d/inner", [&](ext2_inode_large& inode) {
    std::memmove(inode.i_block + 2, inode.i_block + 1, 3 * sizeof(uint32_t));
    inode.i_block[1] = 0;
    inode.i_size += kBlockSize;
  });
  EXPECT_THAT(told(take()),
              ElementsAre("changed " + number("d/inner") +
                          " 100644 20000 bytes hole 1+1 2+3 moved"));
}

TEST_F(DecoderStateStory, AttributesInABlockOfTwo) {
  guest([](GuestFs& fs) {
    return fs.set_xattr("a", "user.large", std::string(2000, 'v'));
  });
  take();
  const uint32_t block = peek_inode(base_ino("a")).i_file_acl;
  ASSERT_NE(block, 0U);
  const uint64_t users = uint64_t{block} * kBlockSize + 4;
  write_number(users, 2);
  poke_inode("d/inner", [block](ext2_inode_large& inode) {
    inode.i_file_acl = block;
    inode.i_blocks += 8;
  });
  EXPECT_THAT(told(take()),
              ElementsAre("changed " + number("d/inner") + " 100644 1 xattrs"));
  write_number(users, 1);
  poke_inode("a", [](ext2_inode_large& inode) {
    inode.i_file_acl = 0;
    inode.i_blocks -= 8;
  });
  EXPECT_THAT(told(take()),
              ElementsAre("changed " + number("a") + " 100644 0 xattrs"));
  write_bytes(uint64_t{block + 1} * kBlockSize - 8, "w");
  const Changes changes = take();
  ASSERT_THAT(told(changes),
              ElementsAre("changed " + number("d/inner") + " 100644 1 xattrs"));
  EXPECT_NE(changes.objects[0].xattrs->at(0).value.find('w'),
            std::string::npos);
}

TEST_F(DecoderStateStory, DeviceNumbersOldAndNew) {
  const auto encode = [this](uint32_t old_style, uint32_t new_style) {
    poke_inode("dev", [&](ext2_inode_large& inode) {
      inode.i_block[0] = old_style;
      inode.i_block[1] = new_style;
    });
    return take().objects.at(0).attributes.rdev;
  };
  EXPECT_EQ(encode(0x0902, 0), DeviceNo::of(9, 2));
  EXPECT_EQ(encode(0, 0x10b03), DeviceNo::of(0x10b, 3));
  EXPECT_EQ(encode(0, 0xfff12345), DeviceNo::of(0x123, 0xfff45));
  EXPECT_EQ(encode(0, 0), DeviceNo::of(0, 0));
}

TEST_F(DecoderStateStory, OwnersAndTimesAtTheirEnds) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.chown("a", {0xfffffffe, 0x10000}));
    return fs.set_mtime("a", {15'032'385'535, 999'999'999});
  });
  Changes changes = take();
  EXPECT_EQ(changes.objects.at(0).attributes.uid, 0xfffffffeU);
  EXPECT_EQ(changes.objects.at(0).attributes.gid, 0x10000U);
  EXPECT_EQ(changes.objects.at(0).attributes.mtime_sec, 15'032'385'535);
  guest([](GuestFs& fs) { return fs.set_mtime("a", {-2'147'483'648, 1}); });
  changes = take();
  EXPECT_EQ(changes.objects.at(0).attributes.mtime_sec, -2'147'483'648);
  EXPECT_EQ(changes.objects.at(0).attributes.mtime_nsec, 1U);
  EXPECT_EQ(changes.objects.at(0).attributes_changed, kTimeChanged);
}

TEST_F(DecoderStateStory, AChainOfRenames) {
  const std::string a = number("a");
  const std::string link = number("link");
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.rename("link", "c"));
    OVL_TRY(fs.rename("a", "link"));
    OVL_TRY(fs.rename("c", "d/c"));
    return fs.rename("d/c", "a");
  });
  EXPECT_THAT(told(take()),
              ElementsAre(fmt::format("2 'a': {} now {}", a, link),
                          fmt::format("2 'link': {} now {}", link, a)));
}

TEST_F(DecoderStateStory, TwoDirectoriesExchanged) {
  const std::string deep = number("deep");
  const std::string er = number("deep/er");
  guest([](GuestFs& fs) { return fs.mkdir("d/sub", 0755); });
  take();
  const std::string sub = now_number("d/sub");
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.rename("deep/er", "x"));
    OVL_TRY(fs.rename("d/sub", "deep/er"));
    return fs.rename("x", "d/sub");
  });
  EXPECT_THAT(
      told(take()),
      ElementsAre(fmt::format("{} 'sub': {} now {}", number("d"), sub, er),
                  fmt::format("{} 'er': {} now {}", deep, er, sub)));
}

TEST_F(DecoderStateStory, ATreeMovedIsOneName) {
  guest([](GuestFs& fs) { return fs.rename("deep", "d/deep"); });
  const std::string deep = number("deep");
  EXPECT_THAT(told(take()),
              UnorderedElementsAre("2 'deep': " + deep + " now none",
                                   number("d") + " 'deep': none now " + deep));
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.mkdir("up", 0755));
    return fs.rename("d", "up/d");
  });
  const Changes changes = take();
  EXPECT_EQ(changes.names.size(), 3U);
}

// The names leave the only block for others; it becomes the index.
TEST_F(DecoderStateStory, ADirectoryGetsAnIndex) {
  const uint32_t block = free_block();
  const std::string first = read_block(base_block("d"));
  std::string names = first.substr(24) + std::string(24, '\0');
  size_t last = 0;
  for (size_t at = 0; at < kBlockSize - 24;) {
    last = at;
    at += static_cast<uint8_t>(names[at + 4]) |
          size_t{static_cast<uint8_t>(names[at + 5])} << 8;
  }
  write_bytes(uint64_t{block} * kBlockSize, names);
  write_short(uint64_t{block} * kBlockSize + last + 4,
              static_cast<uint16_t>(kBlockSize - last));
  const uint64_t root = uint64_t{base_block("d")} * kBlockSize;
  write_short(root + 12 + 4, kBlockSize - 12);
  write_bytes(root + 24, {"\0\0\0\0\1\10\0\0\374\1\1\0\1\0\0\0", 16});
  set_block_used(block, true);
  poke_inode("d", [block](ext2_inode_large& inode) {
    inode.i_flags |= EXT2_INDEX_FL;
    inode.i_size = 2 * kBlockSize;
    inode.i_block[1] = block;
    inode.i_blocks = 16;
  });
  EXPECT_TRUE(take().empty());
  write_number(uint64_t{block} * kBlockSize + names.find("inner") - 8, 0);
  poke_inode("d/inner",
             [](ext2_inode_large& inode) { inode.i_links_count = 0; });
  EXPECT_THAT(told(take()),
              ElementsAre("gone " + number("d/inner") + " 100644 kept",
                          number("d") + " 'inner': " + number("d/inner") +
                              " now none"));
}

TEST_F(DecoderStateStory, TruncatedAndLongAgain) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.truncate("d/inner", 5000));
    return fs.truncate("d/inner", 30000);
  });
  EXPECT_THAT(told(take()),
              ElementsAre("changed " + number("d/inner") +
                          " 100644 time 30000 bytes 1+1 hole 2+3"));
  EXPECT_EQ(content_of("d/inner", 8192),
            made_content("d/inner").substr(0, 5000) + std::string(3192, '\0'));
}

TEST_F(DecoderStateStory, BlocksBehindTheEndAreNoContent) {
  const uint32_t block = free_block();
  set_block_used(block, true);
  poke_inode("a", [block](ext2_inode_large& inode) {
    inode.i_block[1] = block;
    inode.i_blocks += 8;
  });
  EXPECT_TRUE(take_mounted().empty());
  write_bytes(uint64_t{block} * kBlockSize, "later");
  EXPECT_TRUE(take_mounted().empty());
  poke_inode("a", [](ext2_inode_large& inode) { inode.i_size = 4101; });
  EXPECT_THAT(told(take()),
              ElementsAre("changed " + number("a") + " 100644 4101 bytes 0+2"));
  EXPECT_EQ(content_of("a", 4101).substr(4096), "later");
}

// Where blocks and size do not come together from a journal, it is not yet.
TEST_F(DecoderStateStory, BlocksFarBehindTheEndInPlace) {
  const auto resize = [this](uint32_t size) {
    poke_inode("d/inner",
               [size](ext2_inode_large& inode) { inode.i_size = size; });
  };
  resize(4 * kBlockSize - 1);
  const Error error = decode_error();
  EXPECT_EQ(error.code(), EBUSY);
  EXPECT_THAT(error.what(), HasSubstr("inode " + number("d/inner") +
                                      ": its size is 16383, of 5 blocks"));
  resize(4 * kBlockSize);
  EXPECT_THAT(told(take()), ElementsAre("changed " + number("d/inner") +
                                        " 100644 16384 bytes"));
  resize(100);
  EXPECT_EQ(decode_error().code(), EBUSY);
  EXPECT_THAT(told(take_mounted()), ElementsAre("changed " + number("d/inner") +
                                                " 100644 100 bytes"));
}

// The block of a symlink is written by itself, too.
TEST_F(DecoderStateStory, TargetsThatDoNotEndInPlace) {
  const auto expect_wrong = [this](std::string_view path, uint32_t size) {
    const Error error = decode_error();
    EXPECT_EQ(error.code(), EBUSY);
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("inode {}: its target is longer than {}",
                                      number(path), size)));
  };
  const uint64_t far = uint64_t{base_block("far")} * kBlockSize;
  write_bytes(far, std::string(kBlockSize, 'z'));
  expect_wrong("far", 100);
  write_bytes(far, std::string(100, 'z') + '\0');
  EXPECT_THAT(told(take()), ElementsAre("changed " + number("far") +
                                        " 120777 -> " + std::string(100, 'z')));
  for (const char* path : {"link", "far"}) {
    poke_inode(path, [](ext2_inode_large& inode) { --inode.i_size; });
    expect_wrong(path, peek_inode(base_ino(path)).i_size);
    poke_inode(path, [](ext2_inode_large& inode) { ++inode.i_size; });
  }
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderStateStory, SymlinksGrowAndShrink) {
  const auto replace = [this](const std::string& target) {
    guest([&](GuestFs& fs) -> Status {
      OVL_TRY(fs.unlink("link"));
      return fs.symlink(target, "link");
    });
    return find(take(), ino("link"))->target;
  };
  guest([](GuestFs& fs) { return fs.unlink("link"); });
  take();
  guest([](GuestFs& fs) { return fs.symlink("first", "link"); });
  take();
  for (const size_t length : {59U, 60U, 4000U, 5U, 80U})
    EXPECT_EQ(replace(std::string(length, 'x')), std::string(length, 'x'));
}

class DecoderExtentStory : public DecoderStateStory {
 protected:
  DecoderExtentStory() : DecoderStateStory(FsType::kExt4) {}
};

TEST_F(DecoderExtentStory, UnwrittenBlocksReadAsZerosUntilTheyAreConverted) {
  constexpr uint16_t kUnwritten = 32768;
  const uint32_t block = base_block("d/inner");
  const std::string inner = "changed " + number("d/inner") + " 100644 ";
  poke_map("d/inner", ExtentNode(0)
                          .extent(0, 2, block)
                          .extent(2, kUnwritten + 3, block + 2)
                          .bytes());
  EXPECT_THAT(told(take()), ElementsAre(inner + "20000 bytes hole 2+3"));
  write_bytes(uint64_t{block + 3} * kBlockSize, "early");
  EXPECT_TRUE(take().empty());
  poke_map("d/inner", ExtentNode(0)
                          .extent(0, 2, block)
                          .extent(2, kUnwritten + 1, block + 2)
                          .extent(3, 1, block + 3)
                          .extent(4, kUnwritten + 1, block + 4)
                          .bytes());
  EXPECT_THAT(told(take()), ElementsAre(inner + "20000 bytes 3+1"));
  EXPECT_EQ(content_of("d/inner", 20000).substr(3 * kBlockSize, 5), "early");
}

TEST_F(DecoderExtentStory, TheTreeGrowsAndNothingChanges) {
  const uint32_t block = base_block("d/inner");
  const uint32_t node = free_block();
  write_bytes(
      uint64_t{node} * kBlockSize,
      ExtentNode(0, 340).extent(0, 2, block).extent(2, 3, block + 2).bytes());
  set_block_used(node, true);
  poke_map("d/inner", ExtentNode(1).index(0, node).bytes());
  poke_inode("d/inner", [](ext2_inode_large& inode) { inode.i_blocks += 8; });
  EXPECT_TRUE(take().empty());
  // Written in the node alone: two blocks let go.
  write_bytes(uint64_t{node} * kBlockSize,
              ExtentNode(0, 340).extent(2, 3, block + 2).bytes());
  set_block_used(block, false);
  set_block_used(block + 1, false);
  poke_inode("d/inner", [](ext2_inode_large& inode) { inode.i_blocks -= 16; });
  EXPECT_THAT(told(take()), ElementsAre("changed " + number("d/inner") +
                                        " 100644 20000 bytes hole 0+2"));
}

TEST_F(DecoderExtentStory, TheSameNodeWrittenInPlaceAlone) {
  const uint32_t block = base_block("d/inner");
  const uint32_t node = free_block();
  write_bytes(uint64_t{node} * kBlockSize,
              ExtentNode(0, 340).extent(0, 5, block).bytes());
  set_block_used(node, true);
  poke_map("d/inner", ExtentNode(1).index(0, node).bytes());
  EXPECT_TRUE(take().empty());
  write_bytes(uint64_t{node} * kBlockSize, ExtentNode(0, 340)
                                               .extent(0, 1, block + 4)
                                               .extent(1, 3, block + 1)
                                               .extent(4, 1, block)
                                               .bytes());
  EXPECT_THAT(told(take()), ElementsAre("changed " + number("d/inner") +
                                        " 100644 20000 bytes 0+1 4+1 moved"));
}

}  // namespace
}  // namespace ovl
