// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest without a kernel does to an unmounted file system, decoded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/decoder_fixture.h"

namespace ovl {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class DecoderStory : public DecoderFixture {
 protected:
  // Times of directories that a change of names touches say nothing new.
  std::vector<std::string> told(const Changes& changes) {
    auto all = lines(changes);
    std::erase_if(all, [](const std::string& line) {
      return line.starts_with("changed") && line.ends_with("40755 time");
    });
    return all;
  }
  std::string number(std::string_view path) {
    return std::to_string(to_int(ino(path)));
  }
  std::vector<std::byte> bytes(size_t count, char letter) {
    return std::vector<std::byte>(count, static_cast<std::byte>(letter));
  }
};

TEST_F(DecoderStory, AnUntouchedDeviceHasNoChanges) {
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderStory, WritingTheSameBytesIsNoChange) {
  for (uint32_t block = 0; block < 2000; ++block)
    if (image_->owner_of(BlockNo{block}).kind != Image::Owner::Kind::kContent)
      decoder_->note_written(BlockNo{block}, 1);
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderStory, AccessAndChangeTimesAreNoChange) {
  change_inode("a", [](ext2_inode_large& inode) {
    inode.i_atime = 5;
    inode.i_ctime = 6;
    inode.i_version_hi = 8;
  });
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderStory, TheCatalogForgetsWhatIsAsInTheBaseImageAgain) {
  const auto mode = [this](uint32_t bits) {
    guest([bits](GuestFs& fs) { return fs.chmod("a", bits); });
    take();
    return decoder_->catalog().inode_count();
  };
  EXPECT_EQ(mode(0600), 1U);
  EXPECT_EQ(mode(0644), 0U);
}

TEST_F(DecoderStory, TheCatalogForgetsAnInodeThatIsFreeAgain) {
  guest([](GuestFs& fs) { return fs.make_node("new", S_IFREG | 0644); });
  take();
  const size_t with_file = decoder_->catalog().inode_count();
  guest([](GuestFs& fs) { return fs.unlink("new"); });
  take();
  EXPECT_EQ(decoder_->catalog().inode_count(), with_file - 1);
}

TEST_F(DecoderStory, ModeOwnerTimeAndFlags) {
  guest([](GuestFs& fs) { return fs.chmod("a", 0600); });
  EXPECT_THAT(lines(take()),
              ElementsAre("changed " + number("a") + " 100600 mode"));
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.chown("a", {70000, 80000}));
    return fs.set_flags("a", EXT2_IMMUTABLE_FL | EXT2_NOATIME_FL);
  });
  const Changes changes = take();
  const ObjectChange* a = find(changes, ino("a"));
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->attributes.uid, 70000U);
  EXPECT_EQ(a->attributes.gid, 80000U);
  EXPECT_EQ(a->attributes.flags, kFlagImmutable | kFlagNoAtime);
  EXPECT_EQ(a->attributes_changed, kOwnerChanged | kFlagsChanged);
  EXPECT_EQ(a->source, id("a"));
  guest([](GuestFs& fs) { return fs.set_mtime("a", {-5, 999'999'999}); });
  EXPECT_THAT(lines(take()),
              ElementsAre("changed " + number("a") + " 100600 time"));
}

TEST_F(DecoderStory, ANewFile) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("d/new", S_IFREG | 0644));
    return write_text(fs, "d/new", 5000, "text");
  });
  const std::string n = number("d/new");
  EXPECT_THAT(told(take()),
              ElementsAre("made " + n + " 100644 all 0 xattrs 5004 bytes 1+1",
                          number("d") + " 'new': none now " + n));
}

TEST_F(DecoderStory, RemovedAndWithItAllBelow) {
  const std::string d = number("d");
  const std::string inner = number("d/inner");
  const std::string hard = number("hard1");
  guest([](GuestFs& fs) { return fs.remove_tree("d"); });
  EXPECT_THAT(
      told(take()),
      testing::UnorderedElementsAre(
          StartsWith("gone " + d), StartsWith("gone " + inner),
          "2 'd': " + d + " now none", d + " 'inner': " + inner + " now none",
          d + " 'hard2': " + hard + " now none"));
}

TEST_F(DecoderStory, AMovedDirectoryIsOneNameAndItsNewParent) {
  const std::string er = number("deep/er");
  const std::string deep = number("deep");
  guest([](GuestFs& fs) { return fs.rename("deep/er", "empty/er"); });
  EXPECT_THAT(told(take()), testing::UnorderedElementsAre(
                                deep + " 'er': " + er + " now none",
                                number("empty") + " 'er': none now " + er));
}

TEST_F(DecoderStory, ContentWrittenWhereItIs) {
  overwrite_block("d/inner", 1);
  EXPECT_THAT(lines(take()), ElementsAre("changed " + number("d/inner") +
                                         " 100644 20000 bytes 1+1"));
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderStory, AppendChangesTheTail) {
  guest([](GuestFs& fs) { return write_text(fs, "a", 3000, "tail"); });
  const Changes changes = take();
  const ObjectChange* a = find(changes, ino("a"));
  ASSERT_NE(a, nullptr);
  ASSERT_TRUE(a->content);
  EXPECT_EQ(line(*a->content), " 3004 bytes 0+1");
}

TEST_F(DecoderStory, TruncateTellsTheSizeAlone) {
  guest([](GuestFs& fs) { return fs.truncate("d/inner", 8192); });
  const Changes changes = take();
  const ObjectChange* inner = find(changes, ino("d/inner"));
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(line(*inner->content), " 8192 bytes");
}

TEST_F(DecoderStory, PunchIsAHole) {
  guest([](GuestFs& fs) { return fs.punch("d/inner", 1, 2); });
  const Changes changes = take();
  const ObjectChange* inner = find(changes, ino("d/inner"));
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(line(*inner->content), " 20000 bytes hole 1+2");
}

TEST_F(DecoderStory, LinksAreNamesAlone) {
  guest([](GuestFs& fs) { return fs.link("a", "d/again"); });
  const std::string a = number("a");
  EXPECT_THAT(told(take()),
              ElementsAre(number("d") + " 'again': none now " + a));
  guest([](GuestFs& fs) { return fs.unlink("a"); });
  EXPECT_THAT(told(take()), ElementsAre("2 'a': " + a + " now none"));
}

TEST_F(DecoderStory, SymlinksShortAndLong) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.symlink("there", "short"));
    return fs.symlink(std::string(90, 'z'), "long");
  });
  const Changes changes = take();
  EXPECT_EQ(find(changes, ino("short"))->target, "there");
  EXPECT_EQ(find(changes, ino("long"))->target, std::string(90, 'z'));
}

TEST_F(DecoderStory, AttributesAndAccessControlLists) {
  const std::string acl = access_acl();
  guest([&](GuestFs& fs) -> Status {
    OVL_TRY(fs.set_xattr("a", "user.b", std::string(300, 'v')));
    return fs.set_xattr("d/inner", "system.posix_acl_access", acl);
  });
  Changes changes = take();
  const XattrSet expected{{"user.b", std::string(300, 'v')}};
  EXPECT_EQ(find(changes, ino("a"))->xattrs, expected);
  const XattrSet acls{{"system.posix_acl_access", acl}};
  EXPECT_EQ(find(changes, ino("d/inner"))->xattrs, acls);
  guest([](GuestFs& fs) { return fs.remove_xattr("a", "user.b"); });
  changes = take();
  EXPECT_EQ(find(changes, ino("a"))->xattrs, XattrSet{});
}

TEST_F(DecoderStory, DevicesHaveTheirNumbers) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("small", S_IFCHR | 0600, DeviceNo::of(1, 3)));
    OVL_TRY(fs.make_node("nothing", S_IFCHR | 0600, DeviceNo::of(0, 0)));
    return fs.make_node("large", S_IFBLK | 0600, DeviceNo::of(259, 70000));
  });
  const Changes changes = take();
  EXPECT_EQ(find(changes, ino("small"))->attributes.rdev, DeviceNo::of(1, 3));
  EXPECT_EQ(find(changes, ino("nothing"))->attributes.rdev, DeviceNo::of(0, 0));
  EXPECT_EQ(find(changes, ino("large"))->attributes.rdev,
            DeviceNo::of(259, 70000));
}

TEST_F(DecoderStory, ReplacedByRename) {
  const std::string a = number("a");
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("new", S_IFREG | 0644));
    return fs.rename("new", "a");
  });
  const std::string now = number("a");
  EXPECT_THAT(told(take()),
              testing::UnorderedElementsAre(
                  StartsWith("gone " + a), StartsWith("made " + now),
                  fmt::format("2 'a': {} now {}", a, now)));
}

TEST_F(DecoderStory, ANumberUsedAgainIsAnotherObject) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("d/inner"));
    return fs.make_node("d/inner", S_IFREG | 0600);
  });
  // Written with the bytes that it had.
  decoder_->note_written(*image_->block_of(id("d"), 0), 1);
  const std::string n = number("d/inner");
  EXPECT_THAT(told(take()),
              testing::UnorderedElementsAre(
                  StartsWith("gone " + n),
                  AllOf(StartsWith("made " + n), HasSubstr("100600")),
                  fmt::format("{} 'inner': {} now {}", number("d"), n, n)));
}

TEST_F(DecoderStory, ANameInALargeDirectory) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("many/one more", S_IFREG | 0644));
    return fs.unlink("many/name700");
  });
  const Changes changes = take();
  EXPECT_EQ(changes.names.size(), 2U);
  EXPECT_EQ(changes.objects.size(), 3U);
}

TEST_F(DecoderStory, ContentIsReadThroughTheCatalog) {
  guest([this](GuestFs& fs) { return fs.write("a", 100, bytes(9000, 'q')); });
  take();
  auto file = decoder_->open_file(ino("a"));
  ASSERT_TRUE(file.has_value());
  std::string back(9100, '\0');
  ASSERT_TRUE((*file)->read(0, std::as_writable_bytes(std::span(back))));
  EXPECT_EQ(back, made_content("a").substr(0, 100) + std::string(9000, 'q'));
}

TEST_F(DecoderStory, NothingIsTakenWhileTheGuestIsBusyInPlace) {
  guest([](GuestFs& fs) { return fs.chmod("a", 0600); });
  const auto busy = decode(Decoder::Stillness::kBusy);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code(), EBUSY);
  EXPECT_EQ(lines(take()).size(), 1U);
}

TEST_F(DecoderStory, ARefusedStateChangesNothing) {
  change_inode("a", [](ext2_inode_large& inode) { inode.i_links_count = 2; });
  const Error error = decode_error();
  EXPECT_EQ(error.code(), EBUSY);  // in place it may be on its way
  EXPECT_THAT(error.what(), HasSubstr("inode " + number("a")));
  change_inode("a", [](ext2_inode_large& inode) { inode.i_links_count = 1; });
  EXPECT_TRUE(take().empty());
}

TEST_F(DecoderStory, AnotherFileSystemOrErrorsStopIt) {
  change_superblock([](ext2_super_block& super) { super.s_uuid[0] ^= 1; });
  EXPECT_EQ(decode_error().code(), ENOTSUP);
  change_superblock([](ext2_super_block& super) { super.s_uuid[0] ^= 1; });
  change_superblock(
      [](ext2_super_block& super) { super.s_state |= EXT2_ERROR_FS; });
  EXPECT_EQ(decode_error().code(), EBUSY);
}

TEST_F(DecoderStory, AcceptedInPartsOrAtOnceTheCatalogIsTheSame) {
  const auto edits = [this](const std::function<void()>& between) {
    guest([](GuestFs& fs) { return fs.mkdir("d/sub", 0755); });
    between();
    guest([](GuestFs& fs) { return write_text(fs, "a", 9000, "more"); });
    between();
    guest([](GuestFs& fs) { return fs.rename("d/inner", "d/sub/outer"); });
    between();
    guest([](GuestFs& fs) { return fs.remove_tree("deep"); });
  };
  edits([this] { take(); });
  take();
  std::map<uint32_t, CatalogInode> parts;
  decoder_->catalog().for_each_inode(
      [&](Ino ino, const CatalogInode& inode, bool, std::span<const MapRun>) {
        parts[to_int(ino)] = inode;
      });
  start_anew();
  take();
  std::map<uint32_t, CatalogInode> whole;
  decoder_->catalog().for_each_inode(
      [&](Ino ino, const CatalogInode& inode, bool, std::span<const MapRun>) {
        whole[to_int(ino)] = inode;
      });
  EXPECT_EQ(parts, whole);
}

}  // namespace
}  // namespace ovl
