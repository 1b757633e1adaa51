// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_reader.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/ext_reader_fixture.h"

namespace ovl {
namespace {

using testing::HasSubstr;

class ExtReaderStory : public ExtReaderFixture {};

TEST_F(ExtReaderStory, AnUntouchedDeviceIsTheMergedTree) {
  EXPECT_EQ(read().root, merged());
  EXPECT_EQ(pool_.size(), nodes_before_);
}

TEST_F(ExtReaderStory, AccessAndChangeTimesAreNoChange) {
  change_inode("a", [](ext2_inode_large& inode) {
    inode.i_atime = 5;
    inode.i_ctime = 6;
    inode.i_ctime_extra = 7 << 2;
    inode.i_version_hi = 8;
  });
  EXPECT_EQ(read().root, merged());
}

TEST_F(ExtReaderStory, ModeChangesOneNodeAndItsAncestors) {
  guest([](GuestFs& fs) { return fs.chmod("d/inner", 0600); });
  const Tree tree = read();
  const Node& inner = at(tree, "d/inner");
  EXPECT_EQ(inner.mode, S_IFREG | 0600);
  EXPECT_EQ(inner.origin, Origin::kGuest);
  EXPECT_EQ(inner.source, id("d/inner"));
  EXPECT_EQ(inner.mtime_nsec, pool_[id("d/inner")].mtime_nsec);
  EXPECT_FALSE(inner.content_changed);
  EXPECT_EQ(at(tree, "d").source, id("d"));
  EXPECT_EQ(id(tree, "a"), id("a"));
  EXPECT_EQ(id(tree, "deep"), id("deep"));
}

TEST_F(ExtReaderStory, AWriteChangesContentEvenWithoutTheInode) {
  overwrite_block("d/inner", 1);
  const Node& inner = at(read(), "d/inner");
  EXPECT_TRUE(inner.content_changed);
  EXPECT_EQ(inner.source, id("d/inner"));
  EXPECT_EQ(inner.size, pool_[id("d/inner")].size);
}

TEST_F(ExtReaderStory, AppendChangesSizeAndContent) {
  guest([](GuestFs& fs) { return write_text(fs, "a", 3000, "tail"); });
  const Node& a = at(read(), "a");
  EXPECT_EQ(a.size, 3004u);
  EXPECT_TRUE(a.content_changed);
  EXPECT_EQ(content("a").substr(3000), "tail");
  EXPECT_EQ(content("a").substr(0, 3000), made_content("a"));
}

TEST_F(ExtReaderStory, TruncateToNothing) {
  guest([](GuestFs& fs) { return fs.truncate("d/inner", 0); });
  const Node& inner = at(read(), "d/inner");
  EXPECT_EQ(inner.size, 0u);
  EXPECT_TRUE(inner.content_changed);
  EXPECT_EQ(inner.holes, HoleMapId{});
}

TEST_F(ExtReaderStory, ATruncatedFileKeepsItsSourceAndItsHead) {
  guest([](GuestFs& fs) { return fs.truncate("d/inner", 5000); });
  EXPECT_EQ(at(read(), "d/inner").size, 5000u);
  EXPECT_EQ(content("d/inner"), made_content("d/inner").substr(0, 5000));
}

TEST_F(ExtReaderStory, PunchedBlocksAreHoles) {
  guest([](GuestFs& fs) { return fs.punch("big", 20, 1000); });
  const Node& big = at(read(), "big");
  EXPECT_TRUE(big.content_changed);
  EXPECT_THAT(data_runs(pool_, big),
              testing::ElementsAre(DataRun{0, 20}, DataRun{1020, 1480}));
}

TEST_F(ExtReaderStory, HolesOfTheSourceStayWhenOnlyTheModeChanges) {
  guest([](GuestFs& fs) { return fs.chmod("sparse", 0400); });
  const Node& sparse = at(read(), "sparse");
  EXPECT_EQ(sparse.holes, pool_[id("sparse")].holes);
  EXPECT_FALSE(sparse.content_changed);
}

TEST_F(ExtReaderStory, AFileOfManyIndirectBlocksCanGrowAHole) {
  guest([](GuestFs& fs) {
    return write_text(fs, "sparse", uint64_t{5} << 30, "end");
  });
  const Node& sparse = at(read(), "sparse");
  EXPECT_EQ(sparse.size, (uint64_t{5} << 30) + 3);
  EXPECT_EQ(data_runs(pool_, sparse).back().first_block, 5u << 18);
  EXPECT_EQ(read_back("sparse", uint64_t{5} << 30, 3), "end");
}

TEST_F(ExtReaderStory, ALinkMakesTheInodeNewWithBothNames) {
  guest([](GuestFs& fs) { return fs.link("a", "d/again"); });
  const Tree tree = read();
  EXPECT_EQ(id(tree, "a"), id(tree, "d/again"));
  EXPECT_EQ(at(tree, "a").source, id("a"));
  EXPECT_FALSE(at(tree, "a").content_changed);
}

TEST_F(ExtReaderStory, ALinkGroupThatLosesANameIsNew) {
  guest([](GuestFs& fs) { return fs.unlink("d/hard2"); });
  const Tree tree = read();
  EXPECT_EQ(id(tree, "d/hard2"), kNoNode);
  EXPECT_NE(id(tree, "hard1"), id("hard1"));
  EXPECT_EQ(at(tree, "hard1").source, id("hard1"));
}

TEST_F(ExtReaderStory, RenameKeepsTheSource) {
  guest([](GuestFs& fs) { return fs.rename("a", "d/moved"); });
  const Tree tree = read();
  EXPECT_EQ(id(tree, "a"), kNoNode);
  EXPECT_EQ(at(tree, "d/moved").source, id("a"));
  EXPECT_FALSE(at(tree, "d/moved").content_changed);
}

TEST_F(ExtReaderStory, AMovedDirectoryIsTheSameNodeBelow) {
  guest([](GuestFs& fs) { return fs.rename("deep", "d/deep"); });
  const Tree tree = read();
  EXPECT_EQ(id(tree, "deep"), kNoNode);
  EXPECT_EQ(id(tree, "d/deep"), id("deep"));
}

TEST_F(ExtReaderStory, RenameOverAFileReplacesIt) {
  guest([](GuestFs& fs) { return fs.rename("a", "d/inner"); });
  const Tree tree = read();
  EXPECT_EQ(at(tree, "d/inner").source, id("a"));
}

TEST_F(ExtReaderStory, NewObjectsOfEachKind) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.mkdir("new", 0751));
    OVL_TRY(fs.make_node("new/f", S_IFREG | 0640));
    OVL_TRY(write_text(fs, "new/f", 0, "hello"));
    OVL_TRY(fs.chown("new/f", {70000, 80000}));
    OVL_TRY(fs.set_mtime("new/f", {7258118400, 987654321}));
    OVL_TRY(fs.make_node("new/c", S_IFCHR | 0600, DeviceNo::of(1, 3)));
    OVL_TRY(fs.make_node("new/b", S_IFBLK | 0600, DeviceNo::of(300, 70000)));
    OVL_TRY(fs.make_node("new/w", S_IFCHR, DeviceNo::of(0, 0)));
    OVL_TRY(fs.make_node("new/p", S_IFIFO | 0600));
    OVL_TRY(fs.make_node("new/s", S_IFSOCK | 0600));
    OVL_TRY(fs.symlink("short", "new/l"));
    return fs.symlink(std::string(200, 'x'), "new/long");
  });
  const Tree tree = read();
  EXPECT_EQ(at(tree, "new").mode, S_IFDIR | 0751);
  EXPECT_EQ(at(tree, "new").source, kNoNode);
  const Node& file = at(tree, "new/f");
  EXPECT_EQ(file.uid, 70000u);
  EXPECT_EQ(file.gid, 80000u);
  EXPECT_EQ(file.mtime_sec, 7258118400);
  EXPECT_EQ(file.mtime_nsec, 987654321u);
  EXPECT_TRUE(file.content_changed);
  EXPECT_EQ(content("new/f"), "hello");
  EXPECT_EQ(at(tree, "new/c").rdev, DeviceNo::of(1, 3));
  EXPECT_EQ(at(tree, "new/b").rdev, DeviceNo::of(300, 70000));
  EXPECT_EQ(at(tree, "new/w").rdev, DeviceNo::of(0, 0));
  EXPECT_EQ(at(tree, "new/p").mode, S_IFIFO | 0600);
  EXPECT_EQ(at(tree, "new/s").mode, S_IFSOCK | 0600);
  EXPECT_EQ(target(tree, "new/l"), "short");
  EXPECT_EQ(target(tree, "new/long"), std::string(200, 'x'));
}

TEST_F(ExtReaderStory, ANumberUsedAgainIsANewObject) {
  const Ino before = image_->ino_of(id("a"));
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("a"));
    return fs.make_node("a", S_IFREG | 0644);
  });
  const Node& a = at(read(), "a");
  EXPECT_EQ(a.host_ino, to_int(before));
  EXPECT_EQ(a.source, kNoNode);
  EXPECT_TRUE(a.content_changed);
}

TEST_F(ExtReaderStory, ARemovedTreeIsGone) {
  guest([](GuestFs& fs) { return fs.remove_tree("deep"); });
  const Tree tree = read();
  EXPECT_EQ(id(tree, "deep"), kNoNode);
  EXPECT_EQ(id(tree, "d"), id("d"));
}

TEST_F(ExtReaderStory, AttributesComeAndGo) {
  const std::string acl = access_acl();
  guest([&acl](GuestFs& fs) -> Status {
    OVL_TRY(fs.set_xattr("a", "user.new", "value"));
    OVL_TRY(fs.set_xattr("a", "user.large", std::string(1000, 'v')));
    OVL_TRY(fs.set_xattr("d", "system.posix_acl_default", acl));
    return fs.remove_xattr("tagged", "user.tag");
  });
  const Tree tree = read();
  EXPECT_THAT(xattrs(tree, "a"),
              testing::ElementsAre(Xattr{"user.large", std::string(1000, 'v')},
                                   Xattr{"user.new", "value"}));
  EXPECT_THAT(xattrs(tree, "d"),
              testing::ElementsAre(Xattr{"system.posix_acl_default", acl}));
  EXPECT_TRUE(xattrs(tree, "tagged").empty());
  EXPECT_FALSE(at(tree, "tagged").content_changed);
}

TEST_F(ExtReaderStory, AttributesBesideAModeChangeAreTheSourcesOwn) {
  guest([](GuestFs& fs) { return fs.chmod("tagged", 0600); });
  const Tree tree = read();
  EXPECT_EQ(at(tree, "tagged").xattrs, pool_[id("tagged")].xattrs);
}

TEST_F(ExtReaderStory, AnAttributeTakenBackIsNoChange) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.set_xattr("a", "user.new", "value"));
    return fs.remove_xattr("a", "user.new");
  });
  EXPECT_EQ(read().root, merged());
}

TEST_F(ExtReaderStory, FlagsOfFilesAndDirectoriesAreRead) {
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.set_flags("a", EXT2_IMMUTABLE_FL | EXT2_NOATIME_FL));
    return fs.set_flags("d", EXT2_IMMUTABLE_FL | EXT2_APPEND_FL);
  });
  const Tree tree = read();
  EXPECT_EQ(at(tree, "a").flags, kFlagImmutable);
  EXPECT_EQ(at(tree, "d").flags, kFlagImmutable | kFlagAppend);
  EXPECT_FALSE(at(tree, "a").content_changed);
}

TEST_F(ExtReaderStory, ALargeDirectoryGrows) {
  guest([](GuestFs& fs) -> Status {
    for (int i = 0; i < 300; ++i)
      OVL_TRY(fs.make_node("many/" + std::string(200, 'n') + std::to_string(i),
                           S_IFREG | 0644));
    return fs.unlink("many/name7");
  });
  const Tree tree = read();
  EXPECT_EQ(at(tree, "many").entry_count, kManyNames + 299);
  EXPECT_EQ(id(tree, "many/name8"), id("many/name8"));
  EXPECT_EQ(id(tree, "many/name7"), kNoNode);
}

TEST_F(ExtReaderStory, AFileIsReadThroughItsHoles) {
  guest([](GuestFs& fs) { return fs.chmod("sparse", 0400); });
  EXPECT_EQ(content("sparse"), made_content("sparse"));
}

TEST_F(ExtReaderStory, AMountedFileSystemIsBusy) {
  change_superblock([](ext2_super_block& super) {
    super.s_feature_incompat |= EXT3_FEATURE_INCOMPAT_RECOVER;
  });
  EXPECT_EQ(open_error().code(), EBUSY);
  EXPECT_THAT(open_error().what(), HasSubstr("not clean"));
}

TEST_F(ExtReaderStory, AnUncleanFileSystemIsBusy) {
  change_superblock([](ext2_super_block& super) { super.s_state = 0; });
  EXPECT_EQ(open_error().code(), EBUSY);
}

TEST_F(ExtReaderStory, NotedErrorsAreBusy) {
  change_superblock([](ext2_super_block& super) { super.s_state |= 2; });
  EXPECT_EQ(open_error().code(), EBUSY);
  EXPECT_THAT(open_error().what(), HasSubstr("e2fsck"));
}

TEST_F(ExtReaderStory, AnotherFileSystemIsRefused) {
  change_superblock([](ext2_super_block& super) { super.s_uuid[3] ^= 1; });
  EXPECT_EQ(open_error().code(), ENOTSUP);
}

TEST_F(ExtReaderStory, UnknownFeaturesAreNamed) {
  change_superblock([](ext2_super_block& super) {
    super.s_feature_incompat |= EXT4_FEATURE_INCOMPAT_CASEFOLD;
  });
  EXPECT_EQ(open_error().code(), ENOTSUP);
  EXPECT_THAT(open_error().what(), HasSubstr("incompat 0x20000"));
}

}  // namespace
}  // namespace ovl
