// SPDX-License-Identifier: BSD-3-Clause
//
// What upper must hold for what the guest did: the recipes of deletion, rename
// and hard links, as the pure plan states them.
#include "fsengine/overlay/upper_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fsengine/overlay/merge.h"
#include "fsengine/overlay/scan.h"
#include "tests/support/fake_layer.h"
#include "tests/support/guest_edit.h"
#include "tests/support/plan_text.h"

namespace ovl {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr auto kFamily = XattrFamily::kTrusted;

class UpperPlanTest : public ::testing::Test {
 protected:
  NodeId fold(const FakeLayer& layer, uint16_t index, NodeId below) {
    const auto scan = scan_layer(layer, index, kFamily, pool_);
    DataLayers none(pool_);
    return *merge_layer(layer, scan->root, below, {pool_, none, kFamily});
  }

  GuestEdit& guest() {
    if (!edit_) {
      lower_root_ = fold(lower_, 1, kNoNode);
      merged_root_ = fold(upper_, 0, lower_root_);
      edit_ = std::make_unique<GuestEdit>(pool_, merged());
    }
    return *edit_;
  }
  Tree merged() const { return {pool_, merged_root_}; }

  std::vector<std::string> plan(bool redirect_dir = true) {
    return plan_words(plan_upper({{pool_, lower_root_},
                                  merged(),
                                  guest().tree(),
                                  redirect_dir,
                                  OwnerPolicy::kKeep}));
  }

  FakeLayer upper_{"upper"};
  FakeLayer lower_{"lower"};
  NodePool pool_;
  NodeId lower_root_ = kNoNode;
  NodeId merged_root_ = kNoNode;
  std::unique_ptr<GuestEdit> edit_;
};

TEST_F(UpperPlanTest, NothingChangedIsNothing) {
  lower_.dir("d");
  lower_.file("d/f");
  guest();
  EXPECT_THAT(plan(), IsEmpty());
}

TEST_F(UpperPlanTest, NewFileInALowerDirectoryCopiesUpTheDirectory) {
  lower_.dir("d");
  guest().create("d/n");
  EXPECT_THAT(plan(), UnorderedElementsAre("d/", "d/n"));
}

TEST_F(UpperPlanTest, ChangedFileIsCopiedUp) {
  lower_.file("f");
  guest().write("f");
  EXPECT_THAT(plan(), UnorderedElementsAre("f"));
}

TEST_F(UpperPlanTest, ChmodOfADirectoryCopiesNoChildren) {
  lower_.dir("d");
  lower_.file("d/f");
  guest().chmod("d", 0700);
  EXPECT_THAT(plan(), UnorderedElementsAre("d/"));
}

TEST_F(UpperPlanTest, NewDirectoriesAreOpaqueOnlyUnderMergedOnes) {
  guest().mkdir("n");
  guest().mkdir("n/m");
  EXPECT_THAT(plan(), UnorderedElementsAre("n/=y", "n/m/"));
}

TEST_F(UpperPlanTest, RemovedLowerFileIsWhitedOut) {
  lower_.file("f");
  guest().remove("f");
  EXPECT_THAT(plan(), UnorderedElementsAre("f-"));
}

TEST_F(UpperPlanTest, RemovedUpperFileLeavesNothing) {
  upper_.file("f");
  guest().remove("f");
  EXPECT_THAT(plan(), IsEmpty());
}

TEST_F(UpperPlanTest, RemovedCopiedUpFileIsWhitedOut) {
  upper_.file("f");
  lower_.file("f");
  guest().remove("f");
  EXPECT_THAT(plan(), UnorderedElementsAre("f-"));
}

TEST_F(UpperPlanTest, RemovedTreeIsOneWhiteout) {
  lower_.dir("d");
  lower_.file("d/a");
  guest().remove("d");
  EXPECT_THAT(plan(), UnorderedElementsAre("d-"));
}

TEST_F(UpperPlanTest, RebuiltDirectoryIsOpaqueAndHoldsNoWhiteouts) {
  lower_.dir("d");
  lower_.file("d/a");
  guest().remove("d");
  guest().mkdir("d");
  EXPECT_THAT(plan(), UnorderedElementsAre("d/=y"));
}

TEST_F(UpperPlanTest, RemovedNameInALowerDirectory) {
  lower_.dir("d");
  lower_.file("d/a");
  guest().remove("d/a");
  EXPECT_THAT(plan(), UnorderedElementsAre("d/", "d/a-"));
}

TEST_F(UpperPlanTest, FileRenamedIsCopiedAndWhitedOut) {
  lower_.file("f");
  guest().rename("f", "g");
  EXPECT_THAT(plan(), UnorderedElementsAre("g", "f-"));
}

TEST_F(UpperPlanTest, FileRenamedOntoAnotherLower) {
  lower_.file("f");
  lower_.file("h");
  guest().remove("h");
  guest().rename("f", "h");
  EXPECT_THAT(plan(), UnorderedElementsAre("h", "f-"));
}

TEST_F(UpperPlanTest, FileRenamedAwayAndBackIsUntouched) {
  lower_.file("f");
  guest().rename("f", "g");
  guest().rename("g", "f");
  EXPECT_THAT(plan(), IsEmpty());
}

TEST_F(UpperPlanTest, LowerDirectoryRenamedGetsARedirect) {
  lower_.dir("D");
  lower_.file("D/x");
  guest().rename("D", "E");
  EXPECT_THAT(plan(), UnorderedElementsAre("E/->/D", "D-"));
}

TEST_F(UpperPlanTest, LowerDirectoryRenamedWithoutRedirectsIsCopied) {
  lower_.dir("D");
  lower_.file("D/x");
  lower_.dir("D/s");
  guest().rename("D", "E");
  EXPECT_THAT(plan(false), UnorderedElementsAre("E/=y", "E/x", "E/s/", "D-"));
}

TEST_F(UpperPlanTest, FullCopyTakesTheOtherNamesOfItsHardLinksAlong) {
  lower_.dir("D");
  lower_.file("D/x");
  lower_.dir("other");
  lower_.link("D/x", "other/y");
  guest().rename("D", "E");
  EXPECT_THAT(plan(false),
              UnorderedElementsAre("E/=y", "E/x", "D-", "other/", "other/y"));
}

TEST_F(UpperPlanTest, ChildMovedOutOfARenamedDirectory) {
  lower_.dir("D");
  lower_.dir("D/s");
  lower_.file("D/s/f");
  guest().rename("D", "E");
  guest().rename("E/s", "q");
  EXPECT_THAT(plan(), UnorderedElementsAre("E/->/D", "E/s-", "q/->/D/s", "D-"));
}

TEST_F(UpperPlanTest, SwappedDirectoriesRedirectToEachOther) {
  lower_.dir("a");
  lower_.file("a/1");
  lower_.dir("b");
  lower_.file("b/2");
  guest().rename("a", "t");
  guest().rename("b", "a");
  guest().rename("t", "b");
  EXPECT_THAT(plan(), UnorderedElementsAre("a/->/b", "b/->/a"));
}

TEST_F(UpperPlanTest, ParentAndChildChangePlaces) {
  lower_.dir("a");
  lower_.dir("a/k");
  lower_.file("a/k/f");
  guest().rename("a/k", "k");
  guest().rename("a", "k/a");
  EXPECT_THAT(plan(),
              UnorderedElementsAre("k/->/a/k", "k/a/->/a", "a-", "k/a/k-"));
}

TEST_F(UpperPlanTest, NewDirectoryMovedOverALowerIsOpaque) {
  lower_.dir("d");
  lower_.file("d/f");
  guest().mkdir("n");
  guest().remove("d");
  guest().rename("n", "d");
  EXPECT_THAT(plan(), UnorderedElementsAre("d/=y"));
}

TEST_F(UpperPlanTest, ChangedHardLinkIsCopiedUpUnderAllNames) {
  lower_.file("g");
  lower_.dir("d");
  lower_.link("g", "d/g2");
  guest().write("g");
  EXPECT_THAT(plan(), UnorderedElementsAre("g", "d/", "d/g2"));
}

TEST_F(UpperPlanTest, RemovedNameOfAHardLinkLeavesTheOtherAlone) {
  lower_.file("g");
  lower_.dir("d");
  lower_.link("g", "d/g2");
  guest().remove("g");
  EXPECT_THAT(plan(), UnorderedElementsAre("g-"));
}

TEST_F(UpperPlanTest, LinkToALowerFileCopiesUpBothNames) {
  lower_.file("a");
  guest().link("a", "b");
  EXPECT_THAT(plan(), UnorderedElementsAre("a", "b"));
}

TEST_F(UpperPlanTest, PermissionsOfASymlinkAreNoReasonToCopyItUp) {
  lower_.symlink("l", "x");
  guest().chmod("l", 0755);
  EXPECT_THAT(plan(), IsEmpty());
}

TEST_F(UpperPlanTest, UntouchedPartOfUpperIsKept) {
  upper_.dir("u");
  upper_.file("u/f");
  upper_.file("g");
  guest().create("n");
  EXPECT_THAT(plan(), UnorderedElementsAre("u!", "g", "n"));
}

TEST_F(UpperPlanTest, CopiedUpDirectoryThatIsAsTheLowerAgainIsDropped) {
  upper_.dir("d").mode = S_IFDIR | 0700;
  lower_.dir("d");
  guest().chmod("d", 0755);
  EXPECT_THAT(plan(), IsEmpty());
}

TEST_F(UpperPlanTest, UpperDirectoryMovedIsBuiltAnew) {
  upper_.dir("u");
  upper_.file("u/f");
  guest().rename("u", "v");
  EXPECT_THAT(plan(), UnorderedElementsAre("v/=y", "v/f"));
}

}  // namespace
}  // namespace ovl
