// SPDX-License-Identifier: BSD-3-Clause
//
// One story for each rule by which a guest's tree, told over the upper that
// its image was made from, is told over upper as it is now.
#include "fsengine/overlay/rebase.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "fsengine/overlay/merge.h"
#include "fsengine/overlay/scan.h"
#include "fsengine/overlay/upper_plan.h"
#include "tests/support/fake_layer.h"
#include "tests/support/guest_model.h"
#include "tests/support/plan_text.h"
#include "tests/support/tree_text.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr auto kFamily = XattrFamily::kTrusted;

const std::string kA(kBlockSize, 'a');
const std::string kB(kBlockSize, 'b');
const XattrSet kOpaque{{"trusted.overlay.opaque", "y"}};
const XattrSet kMetacopy{{"trusted.overlay.metacopy", ""}};

// base_ is upper as the image was made from it, upper_ as it is now.
class RebaseTest : public ::testing::Test {
 protected:
  NodeId fold(const FakeLayer& layer, uint16_t index, NodeId below) {
    const auto scan = scan_layer(layer, index, kFamily, pool_);
    DataLayers none(pool_);
    return *merge_layer(layer, scan->root, below, {pool_, none, kFamily});
  }

  GuestModel& guest() {
    if (!guest_) {
      lower_root_ = fold(lower_, 1, kNoNode);
      base_root_ = fold(base_, 0, lower_root_);
      base_end_ = pool_.size();
      merged_root_ = fold(upper_, 0, lower_root_);
      guest_ = std::make_unique<GuestModel>(
          pool_, base_root_, [this](NodeId id) { return layers_content(id); });
    }
    return *guest_;
  }

  Result<std::unique_ptr<BlockSource>> layers_content(NodeId id) {
    const Node& node = pool_[id];
    const NodeId data = node.marks & kMarkMetacopy ? node.source : id;
    const FakeLayer& layer = pool_[data].layer == 1     ? lower_
                             : to_int(data) < base_end_ ? base_
                                                        : upper_;
    ++reads_;
    return layer.content(host_path(pool_, pool_[data]));
  }

  Result<std::unique_ptr<BlockSource>> content(NodeId id) {
    if (fail_)
      return system_error(EIO, "read");
    if (pool_[id].origin == Origin::kLayer)
      return layers_content(id);
    return guest().content(pool_[id].host_ino);
  }

  NodeId base(const std::string& path) {
    guest();
    return find_node({pool_, base_root_}, path);
  }
  NodeId merged(const std::string& path) {
    guest();
    return find_node({pool_, merged_root_}, path);
  }
  NodeId rebased(const std::string& path) {
    return find_node(rebased_->guest, path);
  }

  // Upper's object `now` is what the base has at `path`.
  void know(const std::string& path, const std::string& now) {
    now_[base(path)] = merged(now);
  }

  Result<Rebased> try_rebase(OwnerPolicy owner = OwnerPolicy::kKeep) {
    const NodeId tree = deep_tree_ ? *deep_tree_ : guest().tree();
    reads_ = 0;
    return rebase_guest(
        {.pool = pool_,
         .merged = merged_root_,
         .guest = tree,
         .now = now_,
         .redirect_dir = redirect_dir_,
         .owner = owner,
         .content = [this](NodeId id) { return content(id); },
         .guest_ino = [this](NodeId id) { return guest().number_of(id); }});
  }

  // Whether nothing is to be done.
  bool is_unchanged(OwnerPolicy owner = OwnerPolicy::kKeep) {
    rebased_.emplace(*try_rebase(owner));
    return rebased_->guest.root == merged_root_;
  }

  // The plan; a file that is upper's own with `=` behind its name.
  std::vector<std::string> plan() {
    rebased_.emplace(*try_rebase());
    const UpperPlan plan = plan_upper({{pool_, lower_root_},
                                       {pool_, merged_root_},
                                       rebased_->guest,
                                       redirect_dir_,
                                       OwnerPolicy::kKeep});
    std::vector<std::string> words = plan_words(plan);
    for (std::string& word : words)
      if (const NodeId node = rebased(word); node != kNoNode &&
                                             !pool_[node].is_dir() &&
                                             keeps_upper_object(pool_, node))
        word += "=";
    return words;
  }

  FakeLayer upper_{"upper"};
  FakeLayer base_{"base"};
  FakeLayer lower_{"lower"};
  NodePool pool_;
  NodeId lower_root_ = kNoNode;
  NodeId base_root_ = kNoNode;
  uint32_t base_end_ = 0;
  NodeId merged_root_ = kNoNode;
  std::unique_ptr<GuestModel> guest_;
  NowMap now_;
  bool redirect_dir_ = true;
  std::optional<Rebased> rebased_;
  std::optional<NodeId> deep_tree_;  // instead of the guest's
  int reads_ = 0;
  bool fail_ = false;
};

TEST_F(RebaseTest, WhatAnEarlierWriteBackMadeIsFoundAgain) {
  lower_.file("l", kA);
  lower_.dir("d");
  base_.file("f", kA);
  upper_.file("f", kA);
  upper_.file("l", kB).mtime_sec = 7;
  upper_.dir("d").mode = S_IFDIR | 0700;
  upper_.dir("n").mtime_sec = 1'700'000'000;
  upper_.file("n/f", kB).mtime_sec = 1'700'000'000;
  know("f", "f");
  guest().write("l", 'b');
  guest().touch("l", 7);
  guest().chmod("d", 0700);
  guest().mkdir("n");
  guest().create("n/f");
  guest().write("n/f", 'b');
  EXPECT_TRUE(is_unchanged());
  EXPECT_THAT(rebased_->kept, ElementsAre(base("f")));
  EXPECT_THAT(rebased_->lost, IsEmpty());
}

TEST_F(RebaseTest, FileOfOtherBytesIsMadeAnew) {
  upper_.file("f", kB).mtime_sec = 1'700'000'000;
  guest().create("f");
  guest().write("f", 'a');
  EXPECT_THAT(plan(), ElementsAre("f"));
  EXPECT_TRUE(pool_[rebased("f")].content_changed);
}

TEST_F(RebaseTest, FileOfOtherSizeIsMadeAnewWithoutReading) {
  upper_.file("f", kA);
  guest().create("f");
  guest().write("f", 'a');
  guest().truncate("f", 5);
  EXPECT_THAT(plan(), ElementsAre("f"));
  EXPECT_EQ(reads_, 0);
}

TEST_F(RebaseTest, FileOfOtherHolesIsMadeAnew) {
  upper_.file("f", std::string(kBlockSize, '\0') + kA);
  guest().create("f");
  guest().write("f", 'a', 1);
  EXPECT_THAT(plan(), ElementsAre("f"));
}

TEST_F(RebaseTest, SparseFileIsComparedWhereItHasData) {
  upper_.file("f", std::string(kBlockSize, 'x') + kA).holes = {true, {{1, 1}}};
  guest().create("f");
  guest().write("f", 'a', 1);
  EXPECT_THAT(plan(), ElementsAre("f="));
}

TEST_F(RebaseTest, LastBlockOfAFileMayBeAPart) {
  upper_.file("f", "aaa");
  guest().create("f");
  guest().write("f", 'a');
  guest().truncate("f", 3);
  EXPECT_THAT(plan(), ElementsAre("f="));
}

TEST_F(RebaseTest, LastBytesOfAFileCount) {
  upper_.file("f", kA + "ab");
  guest().create("f");
  guest().write("f", 'a');
  guest().write("f", 'a', 1);
  guest().truncate("f", kBlockSize + 2);
  EXPECT_THAT(plan(), ElementsAre("f"));
}

TEST_F(RebaseTest, AttributesOfAFoundFileSettleInPlace) {
  upper_.file("f", kA).mtime_sec = 1'700'000'000;
  guest().create("f", S_IFREG | 0600);
  guest().write("f", 'a');
  EXPECT_THAT(plan(), ElementsAre("f="));
  const Node& node = pool_[rebased("f")];
  EXPECT_EQ(node.source, merged("f"));
  EXPECT_FALSE(node.content_changed);
  EXPECT_EQ(node.mode, S_IFREG | 0600);
}

TEST_F(RebaseTest, FileOfTheBaseIsFoundWhereverUpperHasIt) {
  base_.file("f", kA);
  upper_.dir("d");
  upper_.file("d/g", kA);
  know("f", "d/g");
  guest().rename("f", "h");
  EXPECT_THAT(plan(), ElementsAre("h="));
  EXPECT_EQ(rebased("h"), merged("d/g"));
  EXPECT_EQ(reads_, 0);
  EXPECT_THAT(rebased_->kept, ElementsAre(base("f")));
}

TEST_F(RebaseTest, AttributesAreThoseOfTheGuestAlsoWhenTheyAreTheBases) {
  base_.file("f", kA).mode = S_IFREG | 0600;
  upper_.file("f", kA).mode = S_IFREG | 0644;
  know("f", "f");
  EXPECT_THAT(plan(), ElementsAre("f="));
  EXPECT_EQ(pool_[rebased("f")].mode, S_IFREG | 0600);
  EXPECT_EQ(pool_[rebased("f")].source, merged("f"));
}

TEST_F(RebaseTest, ChangedFileOfTheBaseIsLost) {
  base_.file("f", kA);
  upper_.file("f", kA);
  know("f", "f");
  guest().write("f", 'b');
  EXPECT_THAT(plan(), ElementsAre("f"));
  EXPECT_EQ(pool_[rebased("f")].source, kNoNode);
  EXPECT_THAT(rebased_->kept, IsEmpty());
  EXPECT_THAT(rebased_->lost, ElementsAre(base("f")));
}

TEST_F(RebaseTest, FileOfTheBaseWrittenAsItWasIsKept) {
  base_.file("f", kA);
  upper_.dir("d");
  upper_.file("d/g", kA);
  know("f", "d/g");
  guest().write("f", 'a');
  EXPECT_THAT(plan(), ElementsAre("f="));
  EXPECT_THAT(rebased_->kept, ElementsAre(base("f")));
}

TEST_F(RebaseTest, RemovedFileOfTheBaseIsLost) {
  base_.file("f", kA);
  base_.file("g", kA);
  upper_.file("f", kA);
  upper_.file("g", kA);
  know("f", "f");
  know("g", "g");
  guest().remove("f");
  EXPECT_THAT(plan(), ElementsAre("g="));
  EXPECT_THAT(rebased_->kept, ElementsAre(base("g")));
  EXPECT_THAT(rebased_->lost, ElementsAre(base("f")));
}

TEST_F(RebaseTest, FileOfTheBaseThatUpperLostIsComparedLikeAnyOther) {
  base_.file("f", "");
  base_.file("g", "");
  upper_.file("f", "");
  EXPECT_THAT(plan(), UnorderedElementsAre("f=", "g"));
  EXPECT_EQ(rebased("f"), merged("f"));
  EXPECT_EQ(pool_[rebased("g")].source, kNoNode);
  EXPECT_EQ(pool_[rebased("g")].host_ino, guest().number_of(base("g")));
}

TEST_F(RebaseTest, CopiedUpFileThatIsTheLowersAgainShowsThrough) {
  lower_.file("f", kA);
  upper_.file("f", kA).mode = S_IFREG | 0600;
  EXPECT_THAT(plan(), IsEmpty());
  EXPECT_EQ(rebased("f"), find_node({pool_, lower_root_}, "f"));
}

TEST_F(RebaseTest, CopiedUpFileIsFoundAgain) {
  lower_.file("f", kA);
  upper_.file("f", kA).mode = S_IFREG | 0600;
  upper_.file("g", kA);
  guest().chmod("f", 0600);
  guest().create("g");
  guest().write("g", 'a');
  EXPECT_THAT(plan(), UnorderedElementsAre("f=", "g="));
  EXPECT_EQ(rebased("f"), merged("f"));
}

TEST_F(RebaseTest, KnownCopyOfALowersFileIsNotRead) {
  lower_.file("f", kA);
  upper_.file("f", kA).mode = S_IFREG | 0600;
  know("f", "f");
  guest().chmod("f", 0600);
  EXPECT_TRUE(is_unchanged());
  EXPECT_EQ(reads_, 0);
  EXPECT_THAT(rebased_->kept, IsEmpty());
}

TEST_F(RebaseTest, LowersFileUnderAnotherNameIsCopiedUp) {
  lower_.file("f", kA);
  guest().rename("f", "g");
  EXPECT_THAT(plan(), UnorderedElementsAre("f-", "g"));
  EXPECT_FALSE(pool_[rebased("g")].content_changed);
}

TEST_F(RebaseTest, NewNameOfAFoundFileIsALink) {
  upper_.file("f", kA);
  guest().create("f");
  guest().write("f", 'a');
  guest().link("f", "g");
  EXPECT_THAT(plan(), UnorderedElementsAre("f=", "g="));
  EXPECT_EQ(rebased("f"), rebased("g"));
}

TEST_F(RebaseTest, FileThatLostANameIsFoundByTheOther) {
  upper_.file("f", kA);
  upper_.link("f", "g");
  guest().create("g");
  guest().write("g", 'a');
  EXPECT_THAT(plan(), ElementsAre("g="));
}

TEST_F(RebaseTest, TwoFilesThatAreAlikeDoNotBecomeOne) {
  upper_.file("f", kA);
  upper_.link("f", "g");
  for (const char* name : {"f", "g"}) {
    guest().create(name);
    guest().write(name, 'a');
  }
  EXPECT_THAT(plan(), UnorderedElementsAre("f=", "g"));
}

TEST_F(RebaseTest, FileThatMovedOnIsFoundBySizeAndTime) {
  upper_.file("f", kA).mtime_sec = 1'700'000'000;
  upper_.file("g", kB).mtime_sec = 1'700'000'000;
  upper_.file("h", kA).mtime_sec = 7;
  guest().create("new");
  guest().write("new", 'b');
  guest().create("newer");
  guest().write("newer", 'b');
  EXPECT_THAT(plan(), UnorderedElementsAre("new=", "newer"));
  EXPECT_EQ(rebased("new"), merged("g"));
}

TEST_F(RebaseTest, FileInItsPlaceGoesBeforeOneThatMoved) {
  upper_.file("z", kA).mtime_sec = 1'700'000'000;
  for (const char* name : {"a", "z"}) {
    guest().create(name);
    guest().write(name, 'a');
  }
  EXPECT_THAT(plan(), UnorderedElementsAre("a", "z="));
}

TEST_F(RebaseTest, WhatIsKnownGoesBeforeWhatIsAlike) {
  base_.file("f", kA);
  base_.link("f", "g");
  upper_.file("f", kA);
  upper_.link("f", "g");
  know("f", "f");
  guest().copy("f", "copy");
  guest().rename("copy", "f");
  EXPECT_THAT(plan(), UnorderedElementsAre("f", "g="));
}

TEST_F(RebaseTest, TwoFilesOfTheBaseDoNotBecomeOne) {
  base_.file("f", kA);
  base_.file("g", kA);
  upper_.file("f", kA);
  upper_.link("f", "g");
  know("f", "f");
  know("g", "f");
  EXPECT_THAT(plan(), UnorderedElementsAre("f=", "g"));
}

TEST_F(RebaseTest, LinksAreValuesWithoutBytes) {
  base_.symlink("moved", "1");
  upper_.symlink("moved", "1");
  upper_.symlink("same", "1");
  upper_.symlink("other", "2");
  upper_.symlink("file", "3");
  know("moved", "moved");
  guest().rename("moved", "m");
  guest().symlink("same", "1");
  guest().symlink("other", "1");
  guest().create("file");
  EXPECT_THAT(plan(), UnorderedElementsAre("m=", "same=", "other", "file"));
  EXPECT_THAT(rebased_->kept, IsEmpty());
}

TEST_F(RebaseTest, DevicesAreComparedByTheirNumber) {
  upper_.file("same", "").mode = S_IFCHR | 0600;
  upper_["same"].rdev = DeviceNo::of(1, 3);
  upper_.file("other", "").mode = S_IFCHR | 0600;
  upper_["other"].rdev = DeviceNo::of(1, 5);
  upper_.file("pipe", "").mode = S_IFIFO | 0600;
  for (const char* name : {"same", "other"})
    guest().create(name, S_IFCHR | 0600).node.rdev = DeviceNo::of(1, 3);
  guest().create("pipe", S_IFIFO | 0600);
  EXPECT_THAT(plan(), UnorderedElementsAre("same=", "other", "pipe="));
  EXPECT_EQ(pool_[rebased("other")].source, kNoNode);
}

TEST_F(RebaseTest, MetacopyFileStaysUntilItIsTouched) {
  lower_.file("f", kA);
  lower_.file("g", kA);
  for (FakeLayer* layer : {&base_, &upper_})
    for (const char* name : {"f", "g"})
      layer->file(name, "", kMetacopy).size = kA.size();
  know("f", "f");
  know("g", "g");
  EXPECT_TRUE(is_unchanged());
  guest().chmod("g", 0600);
  EXPECT_THAT(plan(), UnorderedElementsAre("f=", "g"));
  EXPECT_THAT(rebased_->kept, IsEmpty());
  EXPECT_THAT(rebased_->lost, IsEmpty());
}

TEST_F(RebaseTest, MetacopyFileUnderAnotherNameIsWrittenInFull) {
  lower_.file("f", kA);
  for (FakeLayer* layer : {&base_, &upper_})
    layer->file("f", "", kMetacopy).size = kA.size();
  know("f", "f");
  guest().link("f", "g");
  EXPECT_THAT(plan(), UnorderedElementsAre("f", "g"));
}

TEST_F(RebaseTest, OwnersThatUpperDoesNotCarryAreNoDifference) {
  base_.file("f", kA).uid = 5;
  upper_.file("f", kA).uid = 6;
  know("f", "f");
  EXPECT_TRUE(is_unchanged(OwnerPolicy::kSquash));
  EXPECT_FALSE(is_unchanged(OwnerPolicy::kKeep));
}

TEST_F(RebaseTest, ExtendedAttributesAreADifference) {
  base_.file("f", kA);
  upper_.file("f", kA, {{"user.a", "1"}});
  know("f", "f");
  EXPECT_FALSE(is_unchanged());
  guest().set_xattrs("f", {{"user.a", "1"}});
  EXPECT_TRUE(is_unchanged());
}

TEST_F(RebaseTest, DirectoryOverTheSameLowerSettlesInPlace) {
  lower_.dir("d");
  upper_.dir("d").mode = S_IFDIR | 0700;
  upper_.file("d/n", kA);
  guest().chmod("d", 0750);
  guest().create("d/n");
  guest().write("d/n", 'a');
  EXPECT_THAT(plan(), UnorderedElementsAre("d/", "d/n="));
  EXPECT_EQ(pool_[rebased("d")].source, merged("d"));
}

TEST_F(RebaseTest, RebuiltDirectoryIsNotTheMergedOne) {
  lower_.dir("d");
  lower_.file("d/l", kA);
  upper_.dir("d").mode = S_IFDIR | 0700;
  upper_.file("d/n", kA);
  guest().remove("d");
  guest().mkdir("d");
  guest().create("d/n");
  guest().write("d/n", 'a');
  EXPECT_THAT(plan(), UnorderedElementsAre("d/=y", "d/n="));
  EXPECT_EQ(pool_[rebased("d")].source, kNoNode);
}

TEST_F(RebaseTest, LowersDirectoryComesBackInPlaceOfARebuiltOne) {
  lower_.dir("d");
  lower_.file("d/l", kA);
  upper_.dir("d", kOpaque);
  upper_.file("d/n", kA);
  EXPECT_THAT(plan(), IsEmpty());
  EXPECT_EQ(rebased("d"), find_node({pool_, lower_root_}, "d"));
}

TEST_F(RebaseTest, RedirectIsFoundAgain) {
  lower_.dir("D");
  lower_.file("D/l", kA);
  upper_.whiteout("D");
  upper_.dir("E", {{"trusted.overlay.redirect", "/D"}});
  guest().rename("D", "E");
  EXPECT_TRUE(is_unchanged());
}

TEST_F(RebaseTest, RedirectThatStandsIsKeptWithoutRedirects) {
  redirect_dir_ = false;
  lower_.dir("D");
  lower_.file("D/l", kA);
  upper_.whiteout("D");
  upper_.dir("E", {{"trusted.overlay.redirect", "/D"}});
  guest().rename("D", "E");
  EXPECT_TRUE(is_unchanged());
}

TEST_F(RebaseTest, DirectoryThatMovesOnKeepsItsFiles) {
  lower_.dir("D");
  lower_.file("D/l", kA);
  upper_.whiteout("D");
  upper_.dir("E", {{"trusted.overlay.redirect", "/D"}});
  upper_.file("E/n", kA);
  guest().rename("D", "F");
  guest().create("F/n");
  guest().write("F/n", 'a');
  EXPECT_THAT(plan(), UnorderedElementsAre("D-", "F/->/D", "F/n="));
}

TEST_F(RebaseTest, DirectoryMovedBackShowsThrough) {
  lower_.dir("D");
  lower_.file("D/l", kA);
  upper_.whiteout("D");
  upper_.dir("E", {{"trusted.overlay.redirect", "/D"}});
  EXPECT_THAT(plan(), IsEmpty());
}

TEST_F(RebaseTest, UppersDirectoryOfTheBaseMovesWithItsFiles) {
  base_.dir("u");
  base_.file("u/f", kA);
  upper_.dir("v");
  upper_.file("v/f", kA);
  know("u/f", "v/f");
  guest().rename("u", "v");
  EXPECT_TRUE(is_unchanged());
  guest().rename("v", "w");
  EXPECT_THAT(plan(), UnorderedElementsAre("w/=y", "w/f="));
}

// Without redirects E is a copy of D, and of every file in it.
class CopiedDirectoryTest : public RebaseTest {
 protected:
  CopiedDirectoryTest() {
    redirect_dir_ = false;
    lower_.dir("D");
    lower_.file("D/x", kA);
    lower_.dir("D/s");
    lower_.file("D/s/y", kB);
    lower_.dir("other");
    lower_.link("D/x", "other/x2");
  }
  void copy_in_upper() {
    upper_.whiteout("D");
    upper_.dir("E", kOpaque);
    upper_.file("E/x", kA);
    upper_.dir("E/s");
    upper_.file("E/s/y", kB);
    upper_.dir("other");
    upper_.link("E/x", "other/x2");
  }
};

TEST_F(CopiedDirectoryTest, IsMadeWithTheOtherNamesOfItsLinks) {
  guest().rename("D", "E");
  EXPECT_THAT(plan(), UnorderedElementsAre("E/=y", "E/x", "E/s/", "E/s/y", "D-",
                                           "other/", "other/x2"));
  EXPECT_EQ(rebased("E/x"), rebased("other/x2"));
}

TEST_F(CopiedDirectoryTest, IsFoundAgain) {
  copy_in_upper();
  guest().rename("D", "E");
  EXPECT_TRUE(is_unchanged());
}

TEST_F(CopiedDirectoryTest, IsCompletedWithoutCopyingAgain) {
  copy_in_upper();
  guest().rename("D", "E");
  guest().write("E/s/y", 'c');
  EXPECT_THAT(plan(), UnorderedElementsAre("D-", "E/=y", "E/x=", "E/s/",
                                           "E/s/y", "other!"));
}

TEST_F(CopiedDirectoryTest, LinkThatUpperBrokeIsMadeWhole) {
  upper_.whiteout("D");
  upper_.dir("E", kOpaque);
  upper_.file("E/x", kA);
  upper_.dir("E/s");
  upper_.file("E/s/y", kB);
  guest().rename("D", "E");
  EXPECT_THAT(plan(), UnorderedElementsAre("D-", "E!", "other/", "other/x2="));
}

TEST_F(CopiedDirectoryTest, ShowsThroughWhenItIsMovedBack) {
  copy_in_upper();
  EXPECT_THAT(plan(), IsEmpty());
}

// Upper is what the image was made from.
class FirstWriteBackTest : public RebaseTest {
 protected:
  void start() {
    guest();
    merged_root_ = base_root_;
    for (const NodeId object : upper_objects({pool_, base_root_}))
      now_[object] = object;
  }
};

TEST_F(FirstWriteBackTest, FindsWhatItWouldWithout) {
  lower_.dir("d");
  lower_.file("d/l", kA);
  base_.dir("u");
  base_.file("u/f", kA);
  base_.file("g", kA);
  base_.symlink("s", "1");
  start();
  EXPECT_TRUE(is_unchanged());
  EXPECT_EQ(rebased_->kept.size(), 2U);
  guest().chmod("g", 0600);
  guest().rename("s", "t");
  guest().create("d/n");
  EXPECT_THAT(plan(), UnorderedElementsAre("u!", "g=", "t=", "d/", "d/n"));
  EXPECT_EQ(rebased_->kept.size(), 2U);
}

TEST_F(FirstWriteBackTest, CopyOfAFileThatNobodyTouchedIsAFileOfItsOwn) {
  base_.dir("u");
  base_.file("u/f", kA);
  start();
  now_.clear();
  guest().copy("u/f", "g");
  EXPECT_THAT(plan(), UnorderedElementsAre("u!", "g"));
}

// Below p all is as it was, and yet q has the names of what p was.
TEST_F(FirstWriteBackTest, CopyInAMovedDirectoryIsNotTheFileThatStayed) {
  lower_.dir("p");
  base_.dir("p");
  base_.dir("p/s");
  base_.file("p/s/f", kA);
  start();
  guest().rename("p", "q");
  guest().mkdir("p");
  guest().rename("q/s", "p/s");
  guest().mkdir("q/s");
  guest().copy("p/s/f", "q/s/f");
  EXPECT_THAT(plan(), UnorderedElementsAre("p/=y", "p/s/", "p/s/f=", "q/->/p",
                                           "q/s/=y", "q/s/f"));
}

TEST_F(RebaseTest, ErrorOfReadingIsPassedOn) {
  upper_.file("f", kA);
  guest().create("f");
  guest().write("f", 'a');
  fail_ = true;
  const auto rebased = try_rebase();
  ASSERT_FALSE(rebased);
  EXPECT_EQ(rebased.error().code(), EIO);
}

TEST_F(RebaseTest, DirectoriesMayBeDeeperThanAStack) {
  constexpr int kDepth = 200'000;
  guest();
  Node directory;
  directory.mode = S_IFDIR | 0755;
  directory.origin = Origin::kGuest;
  directory.lower = kNoNode;
  deep_tree_ = pool_.add(directory);
  for (int i = 0; i < kDepth; ++i) {
    const NodeId inner = *deep_tree_;
    deep_tree_ = pool_.add(directory);
    pool_.set_entries(*deep_tree_, {{pool_.strings.add("d"), inner}});
  }
  const auto rebased = try_rebase();
  ASSERT_TRUE(rebased);
  int depth = 0;
  for (NodeId at = rebased->guest.root; pool_[at].entry_count == 1; ++depth)
    at = pool_.entries(at)[0].node;
  EXPECT_EQ(depth, kDepth);
}

}  // namespace
}  // namespace ovl
