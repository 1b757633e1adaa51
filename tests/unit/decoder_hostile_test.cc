// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest may write to harm whoever decodes it: names and links that make
// no tree. Each is refused with words, and nothing of it stays.
#include "tests/support/damage_fixture.h"

namespace ovl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class DecoderHostileNames : public DamageFixture {
 protected:
  std::string number(std::string_view path) {
    return std::to_string(base_number(path));
  }
  uint32_t last_ino() const {
    return static_cast<uint32_t>(image_->groups() * image_->inodes_per_group());
  }
};

TEST_F(DecoderHostileNames, ASlash) {
  expect_refused("directory " + number("d") + ": directory: a name holds", [&] {
    write_bytes(offset_of_entry("d", "inner") + 8, "in/er");
  });
}

TEST_F(DecoderHostileNames, ANul) {
  expect_refused("directory " + number("d"), [&] {
    write_bytes(offset_of_entry("d", "inner") + 8, {"in\0er", 5});
  });
}

TEST_F(DecoderHostileNames, ADotOrTwo) {
  expect_refused("'.' or '..' is not where", [&] {
    const uint64_t at = offset_of_entry("d", "inner");
    write_bytes(at + 6, "\1");
    write_bytes(at + 8, ".");
  });
  expect_refused("'.' or '..' is not where", [&] {
    const uint64_t at = offset_of_entry("many", "name1999");
    write_bytes(at + 6, "\2");
    write_bytes(at + 8, "..");
  });
}

TEST_F(DecoderHostileNames, NoneAtAll) {
  expect_refused("a name is empty", [&] {
    write_bytes(offset_of_entry("d", "inner") + 6, {"\0", 1});
  });
}

TEST_F(DecoderHostileNames, LengthsOfRecords) {
  const uint64_t at = offset_of_entry("d", "inner");
  for (const int length : {0, 4, 9, 4096, 65535})
    expect_refused("an entry has length " + std::to_string(length),
                   [&] { write_short(at + 4, static_cast<uint16_t>(length)); });
  expect_refused("a name leaves its entry", [&] { write_short(at + 4, 12); });
}

TEST_F(DecoderHostileNames, TwiceInABlock) {
  expect_refused(
      "directory " + number("d") + ": directory: a name is there",
      [&] { write_bytes(offset_of_entry("d", "hard2") + 8, "inner"); });
}

TEST_F(DecoderHostileNames, TwiceInTwoBlocksThatChanged) {
  const uint64_t first = offset_of_entry("many", "name1000");
  uint64_t other = 0;
  for (uint32_t i = 1001; i < kManyNames; ++i) {
    other = offset_of_entry("many", "name" + std::to_string(i));
    if (other / kBlockSize != first / kBlockSize)
      break;
  }
  ASSERT_NE(other / kBlockSize, first / kBlockSize);
  expect_refused("name 'twice000' is there twice", [&] {
    write_bytes(first + 8, "twice000");
    write_bytes(other + 8, "twice000");
  });
}

// A block that did not change is not read for each name that comes.
TEST_F(DecoderHostileNames, TwiceAndOnlyOneBlockChanged) {
  const uint64_t first = offset_of_entry("many", "name1000");
  std::string name;
  uint64_t other = 0;
  for (uint32_t i = 1001; i < kManyNames && name.empty(); ++i) {
    other = offset_of_entry("many", "name" + std::to_string(i));
    if (other / kBlockSize != first / kBlockSize)
      name = "name" + std::to_string(i);
  }
  const std::string words = "directory " + number("many") + ": name '";
  const auto rename = [&](const std::string& to) {
    write_bytes(first + 8, to);
  };
  expect_refused(words + name + "' is there twice", [&] { rename(name); });
  // Of a name that the guest made in the other block.
  write_bytes(other + 8, "made0000");
  take_mounted();
  expect_refused(words + "made0000' is there twice",
                 [&] { rename("made0000"); });
  // And of one that is no more.
  rename(name);
  EXPECT_EQ(take_mounted().names.size(), 2U);
  rename("name1000");
  EXPECT_EQ(take_mounted().names.size(), 2U);
}

TEST_F(DecoderHostileNames, OfAFreeInode) {
  expect_refused(fmt::format("inode {} is not in use", last_ino()), [&] {
    write_number(offset_of_entry("d", "inner"), last_ino());
  });
}

TEST_F(DecoderHostileNames, OfAReservedInode) {
  for (uint32_t ino = 1; ino < EXT2_GOOD_OLD_FIRST_INO; ++ino)
    expect_refused("inode " + std::to_string(ino) + " is no file's",
                   [&] { write_number(offset_of_entry("d", "inner"), ino); });
}

TEST_F(DecoderHostileNames, OutOfRange) {
  for (const uint32_t ino : {last_ino() + 1, 0x7fffffffU, 0xffffffffU})
    expect_refused("inode " + std::to_string(ino) + " is no file's",
                   [&] { write_number(offset_of_entry("d", "inner"), ino); });
}

TEST_F(DecoderHostileNames, OfAnotherType) {
  const uint64_t at = offset_of_entry("d", "inner");
  expect_refused("is of another type", [&] {
    write_number(at, base_number("a"));
    write_bytes(at + 7, "\2");
  });
}

// As a file system has it that was made without the feature "filetype".
TEST_F(DecoderHostileNames, ATypeThatIsNotSaidIsNone) {
  write_bytes(offset_of_entry("d", "inner") + 7, {"\0", 1});
  EXPECT_TRUE(take_mounted().empty());
}

// A type that is a lie, of a name that did not change: as the inode has it.
TEST_F(DecoderHostileNames, AnotherTypeOfANameThatStays) {
  expect_refused("is of another type",
                 [&] { write_bytes(offset_of_entry("d", "inner") + 7, "\2"); });
}

class DecoderHostileTree : public DecoderHostileNames {};

TEST_F(DecoderHostileTree, ADirectoryInItself) {
  // deep/er is deep: er is lost, deep has two names.
  expect_refused("inode ", [&] {
    write_number(offset_of_entry("deep", "er"), base_number("deep"));
  });
}

TEST_F(DecoderHostileTree, ACycleOutOfReach) {
  // The root loses deep, which becomes a child of deep/er.
  guest([](GuestFs& fs) { return fs.mkdir("deep/er/x", 0755); });
  take();
  const Ino x = ino("deep/er/x");
  expect_refused("it is not beneath the root", [&] {
    write_number(offset_of_entry("deep/er", "leaf"), 0);
    poke_inode("deep/er/leaf",
               [](ext2_inode_large& inode) { inode = ext2_inode_large{}; });
    set_inode_used(base_ino("deep/er/leaf"), false);
    set_block_used(base_block("deep/er/leaf"), false);
    write_number(offset_of_entry("", "deep"), 0);
    poke_inode(Ino{EXT2_ROOT_INO},
               [](ext2_inode_large& root) { --root.i_links_count; });
    const std::string block = read_block(base_block("deep/er"));
    const size_t at = block.find("x", 24);
    ASSERT_NE(at, std::string::npos);
    ASSERT_EQ(std::memcmp(block.data() + at - 8, &x, sizeof x), 0);
    write_number(uint64_t{base_block("deep/er")} * kBlockSize + at - 8,
                 base_number("deep"));
    write_number(uint64_t{base_block("deep")} * kBlockSize + 12,
                 base_number("deep/er"));
    poke_inode(x, [](ext2_inode_large& inode) { inode = ext2_inode_large{}; });
  });
}

TEST_F(DecoderHostileTree, ADirectoryWithTwoNames) {
  guest([](GuestFs& fs) { return fs.link("a", "d/dir"); });
  take();
  expect_refused("inode " + number("empty"), [&] {
    const std::string block = read_block(base_block("d"));
    const size_t at = block.find("dir");
    ASSERT_NE(at, std::string::npos);
    const uint64_t entry = uint64_t{base_block("d")} * kBlockSize + at - 8;
    write_number(entry, base_number("empty"));
    write_bytes(entry + 7, "\2");
    poke_inode("a", [](ext2_inode_large& inode) { --inode.i_links_count; });
    poke_inode("d", [](ext2_inode_large& inode) { ++inode.i_links_count; });
    poke_inode("empty", [](ext2_inode_large& inode) { ++inode.i_links_count; });
  });
}

TEST_F(DecoderHostileTree, TheParentIsAnother) {
  const uint64_t parent = uint64_t{base_block("deep/er")} * kBlockSize + 12;
  for (const uint32_t other : {base_number("d"), 2U, 8U, 0xfffffff0U})
    expect_refused("directory " + number("deep/er") + ": its '..' is another",
                   [&] { write_number(parent, other); });
  expect_refused("directory 2: its '..' is another", [&] {
    write_number(uint64_t{base_block("")} * kBlockSize + 12, base_number("d"));
  });
}

TEST_F(DecoderHostileTree, MovedButForItsParent) {
  expect_refused("directory " + number("deep/er") + ": its '..' is not", [&] {
    guest([](GuestFs& fs) { return fs.rename("deep/er", "empty/er"); });
    write_number(uint64_t{base_block("deep/er")} * kBlockSize + 12,
                 base_number("deep"));
  });
}

TEST_F(DecoderHostileTree, ItselfIsAnother) {
  expect_refused("directory " + number("deep/er") + ": its '.' is another",
                 [&] {
                   write_number(uint64_t{base_block("deep/er")} * kBlockSize,
                                base_number("d"));
                 });
}

TEST_F(DecoderHostileTree, LinksThatAreNotTheNames) {
  for (const int links : {2, 7, 65535})
    expect_refused(fmt::format("inode {}: it has {} links", number("a"), links),
                   [&] {
                     poke_inode("a", [links](ext2_inode_large& inode) {
                       inode.i_links_count = static_cast<uint16_t>(links);
                     });
                   });
  expect_refused("inode " + number("hard1"), [&] {
    poke_inode("hard1",
               [](ext2_inode_large& inode) { inode.i_links_count = 1; });
  });
  expect_refused("inode " + number("a"), [&] {
    poke_inode("a", [](ext2_inode_large& inode) { inode.i_links_count = 0; });
  });
}

TEST_F(DecoderHostileTree, LinksOfADirectory) {
  for (const int links : {2, 4})
    expect_refused(
        fmt::format("inode {}: it has {} links", number("deep"), links), [&] {
          poke_inode("deep", [links](ext2_inode_large& inode) {
            inode.i_links_count = static_cast<uint16_t>(links);
          });
        });
  expect_refused("inode " + number("empty"), [&] {
    poke_inode("empty",
               [](ext2_inode_large& inode) { inode.i_links_count = 0; });
  });
}

// 1: more than can be said, or once more than that.
TEST_F(DecoderHostileTree, ADirectoryThatDoesNotCountItsOwn) {
  const Ino root{EXT2_ROOT_INO};
  const uint16_t links = peek_inode(root).i_links_count;
  const auto say = [&](int count, uint32_t flags) {
    poke_inode(root, [&](ext2_inode_large& inode) {
      inode.i_links_count = static_cast<uint16_t>(count);
      inode.i_flags = flags;
    });
  };
  expect_refused("inode 2: it has 1 link, and no index", [&] { say(1, 0); });
  say(1, EXT2_INDEX_FL);
  EXPECT_TRUE(take_mounted().empty());
  expect_refused("inode 2: it has 1 link, and no index", [&] { say(1, 0); });
  for (const int count : {2, links - 1, links + 1})
    expect_refused(fmt::format("inode 2: it has {} links, and {} directories",
                               count, links - 2),
                   [&] { say(count, EXT2_INDEX_FL); });
  say(links, 0);
  EXPECT_TRUE(take_mounted().empty());
  expect_refused(fmt::format("inode 2: it has {} links", links + 1),
                 [&] { say(links + 1, 0); });
}

// What is counted is what is there now, in blocks that changed and others.
TEST_F(DecoderHostileTree, DirectoriesAreCountedAgain) {
  const uint32_t flags = peek_inode(base_ino("many")).i_flags;
  const auto say = [&](int count) {
    poke_inode("many", [&](ext2_inode_large& inode) {
      inode.i_links_count = static_cast<uint16_t>(count);
      inode.i_flags = count == 1 ? flags | EXT2_INDEX_FL : flags;
    });
  };
  const std::string words = "inode " + number("many") + ": it has ";
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.mkdir("many/one", 0755));
    return fs.rename("deep", "many/two");
  });
  say(1);
  take_mounted();
  for (const int count : {2, 3, 5})
    expect_refused(words + std::to_string(count), [&] { say(count); });
  say(4);
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.rename("many/two", "deep"));
    OVL_TRY(fs.rename("empty", "many/three"));
    return fs.rename("d", "many/four");
  });
  for (const int count : {2, 4, 6}) {
    say(count);
    EXPECT_THAT(mounted_error().what(),
                HasSubstr(words + std::to_string(count)));
  }
  say(5);
  EXPECT_EQ(take_mounted().names.size(), 6U);
}

TEST_F(DecoderHostileTree, ANameIsLost) {
  expect_refused("inode " + number("d/inner"),
                 [&] { write_number(offset_of_entry("d", "inner"), 0); });
}

TEST_F(DecoderHostileTree, LinksWithoutAMode) {
  expect_refused("inode " + number("a"), [&] {
    poke_inode("a", [](ext2_inode_large& inode) { inode.i_mode = 0; });
  });
  const Ino last{last_ino()};
  expect_refused(fmt::format("inode {}", last_ino()), [&] {
    poke_inode(last, [](ext2_inode_large& inode) { inode.i_links_count = 1; });
  });
}

TEST_F(DecoderHostileTree, AnInodeWithoutAName) {
  const Ino last{last_ino()};
  expect_refused(fmt::format("inode {}", last_ino()), [&] {
    poke_inode(last, [](ext2_inode_large& inode) {
      inode.i_mode = S_IFREG | 0644;
      inode.i_links_count = 1;
    });
    set_inode_used(last, true);
  });
}

TEST_F(DecoderHostileTree, AnotherTypeUnderTheSameName) {
  expect_refused("inode " + number("a"), [&] {
    poke_inode("a",
               [](ext2_inode_large& inode) { inode.i_mode = S_IFIFO | 0644; });
  });
}

// One that is open and has no name may have any blocks, until it has one.
TEST_F(DecoderHostileTree, ADirectoryComesBackWithAHole) {
  const uint64_t entry = offset_of_entry("deep", "er");
  const Ino er = base_ino("deep/er");
  const auto link = [&](int by) {
    write_number(entry, by > 0 ? to_int(er) : 0);
    poke_inode("deep", [by](ext2_inode_large& inode) {
      inode.i_links_count = static_cast<uint16_t>(inode.i_links_count + by);
    });
    poke_inode(er, [by](ext2_inode_large& inode) {
      inode.i_links_count = by > 0 ? 2 : 0;
    });
  };
  guest([](GuestFs& fs) { return fs.unlink("deep/er/leaf"); });
  take();
  const ext2_inode_large sound = peek_inode(er);
  link(-1);
  poke_inode(er, [](ext2_inode_large& inode) { inode.i_block[0] = 0; });
  take_mounted();
  expect_refused("its size is 4096, of 0 blocks", [&] { link(1); });
  link(1);
  poke_inode(er, [&](ext2_inode_large& inode) { inode = sound; });
  EXPECT_EQ(find(take_mounted(), er)->kind, ObjectChange::Kind::kMade);
}

TEST_F(DecoderHostileTree, NoRoot) {
  const auto clear = [this](Ino ino) {
    poke_inode(ino,
               [](ext2_inode_large& inode) { inode = ext2_inode_large{}; });
  };
  expect_refused("the root", [&] {
    for (uint32_t ino = 2; ino < 3000; ++ino)
      if (ino == 2 || ino >= EXT2_GOOD_OLD_FIRST_INO)
        clear(Ino{ino});
  });
  expect_refused("the root", [&] {
    poke_inode(Ino{EXT2_ROOT_INO}, [](ext2_inode_large& inode) {
      inode.i_mode = S_IFREG | 0644;
      inode.i_size = 0;
      std::memset(inode.i_block, 0, sizeof inode.i_block);
    });
  });
}

}  // namespace
}  // namespace ovl
