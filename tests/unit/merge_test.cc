// SPDX-License-Identifier: BSD-3-Clause
//
// The overlay rules of reading, one story each; the oracle tests compare the
// same with the kernel.
#include "fsengine/overlay/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fsengine/overlay/scan.h"
#include "tests/support/fake_layer.h"
#include "tests/support/tree_text.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kFamily = XattrFamily::kTrusted;
const Xattr kOpaque{"trusted.overlay.opaque", "y"};

Xattr redirect(const std::string& to) {
  return {"trusted.overlay.redirect", to};
}

class Merge : public ::testing::Test {
 protected:
  // Topmost first, as on the command line.
  Result<Tree> merge(const std::vector<const FakeLayer*>& layers,
                     XattrFamily family = kFamily) {
    NodeId below = kNoNode;
    for (size_t i = layers.size(); i-- > 0;) {
      const auto scan = OVL_TRY(
          scan_layer(*layers[i], static_cast<uint16_t>(i + 1), family, pool_));
      below = OVL_TRY(
          merge_layer(*layers[i], scan.root, below, {pool_, data_, family}));
    }
    return Tree{pool_, below};
  }

  std::vector<std::string> merged(const std::vector<const FakeLayer*>& layers,
                                  XattrFamily family = kFamily) {
    auto tree = merge(layers, family);
    if (!tree)
      return {"error: " + tree.error().what()};
    return tree_text(*tree);
  }

  FakeLayer top_{"top"};
  FakeLayer middle_{"middle"};
  FakeLayer bottom_{"bottom"};
  NodePool pool_;
  DataLayers data_{pool_};
};

TEST_F(Merge, TopmostFileWins) {
  top_.file("f");
  bottom_.file("f");
  bottom_.file("g");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("f@1", "g@2"));
}

TEST_F(Merge, DirectoriesJoin) {
  top_.dir("d");
  top_.file("d/a");
  bottom_.dir("d");
  bottom_.file("d/b");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("d/", "d/a@1", "d/b@2"));
}

TEST_F(Merge, WhiteoutHidesTheNameBelow) {
  top_.whiteout("f");
  bottom_.file("f");
  EXPECT_THAT(merged({&top_, &bottom_}), IsEmpty());
}

TEST_F(Merge, WhiteoutWithModeAndAttributesHidesToo) {
  top_.whiteout("f").mode |= 0777;
  bottom_.file("f");
  EXPECT_THAT(merged({&top_, &bottom_}), IsEmpty());
}

TEST_F(Merge, BlockDeviceZeroIsNoWhiteout) {
  top_.whiteout("f").mode = S_IFBLK | 0600;
  bottom_.file("f");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("f@1"));
}

TEST_F(Merge, EmptyFileWithWhiteoutAttributeHides) {
  top_.file("f", "", {{"trusted.overlay.whiteout", ""}});
  top_.file("g", "x", {{"trusted.overlay.whiteout", ""}});
  bottom_.file("f");
  bottom_.file("g");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("g@1"));
}

TEST_F(Merge, WhiteoutInAPureDirectoryIsNotShown) {
  top_.dir("d");
  top_.whiteout("d/w");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("d/"));
}

TEST_F(Merge, OnlyTheValueYIsOpaque) {
  for (const char* value : {"y", "n", "x", "yy", "0", ""}) {
    FakeLayer top;
    top.dir("d", {{"trusted.overlay.opaque", value}});
    FakeLayer bottom;
    bottom.dir("d");
    bottom.file("d/b");
    const bool opaque = std::string(value) == "y";
    EXPECT_EQ(merged({&top, &bottom}).size(), opaque ? 1 : 2) << value;
  }
}

TEST_F(Merge, OpaqueRootIsIgnored) {
  top_.dir("", {kOpaque});
  bottom_.file("f");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("f@2"));
}

TEST_F(Merge, FileBetweenDirectoriesEndsTheMerge) {
  top_.dir("n");
  middle_.file("n");
  bottom_.dir("n");
  bottom_.file("n/b");
  EXPECT_THAT(merged({&top_, &middle_, &bottom_}), ElementsAre("n/"));
}

TEST_F(Merge, WhiteoutBetweenDirectoriesEndsTheMerge) {
  top_.dir("n");
  middle_.whiteout("n");
  bottom_.dir("n");
  bottom_.file("n/b");
  EXPECT_THAT(merged({&top_, &middle_, &bottom_}), ElementsAre("n/"));
}

TEST_F(Merge, DirectoryTakesTheTopmostAttributesOnly) {
  top_.dir("d").mode = S_IFDIR | 0700;
  bottom_.dir("d").xattrs = {{"user.a", "1"}};
  const auto tree = merge({&top_, &bottom_});
  const Node& node = pool_[find_node(*tree, "d")];
  EXPECT_EQ(node.mode & 07777, 0700);
  EXPECT_EQ(node.xattrs, XattrsId{});
}

TEST_F(Merge, HardLinksShareANode) {
  bottom_.file("a");
  bottom_.dir("d");
  bottom_.link("a", "d/b");
  const auto tree = merge({&bottom_});
  EXPECT_EQ(find_node(*tree, "a"), find_node(*tree, "d/b"));
  EXPECT_THAT(tree_text(*tree), ElementsAre("a@1", "d/", "d/b@1"));
}

TEST_F(Merge, PrivateAttributesAreHiddenAndEscapedOnesUnescaped) {
  bottom_.file("f", "x",
               {{"trusted.overlay.junk", "1"},
                {"trusted.overlay.overlay.opaque", "y"},
                {"user.overlay.foo", "2"}});
  const auto tree = merge({&bottom_});
  const XattrSet expected{{"trusted.overlay.opaque", "y"},
                          {"user.overlay.foo", "2"}};
  EXPECT_EQ(pool_.xattrs.get(pool_[find_node(*tree, "f")].xattrs), expected);
}

TEST_F(Merge, TheOtherFamilyIsNotInterpreted) {
  top_.dir("d", {kOpaque});
  bottom_.dir("d");
  bottom_.file("d/b");
  EXPECT_THAT(merged({&top_, &bottom_}, XattrFamily::kUser),
              ElementsAre("d/", "d/b@2"));
}

TEST_F(Merge, RelativeRedirectNamesASibling) {
  top_.dir("e", {redirect("d")});
  top_.whiteout("d");
  bottom_.dir("d");
  bottom_.file("d/b");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("e/", "e/b@2"));
}

TEST_F(Merge, AbsoluteRedirectIsResolvedInTheLayersBelow) {
  top_.dir("n", {kOpaque});
  top_.dir("n/e", {redirect("/a/b")});
  top_.dir("a");
  top_.whiteout("a/b");
  bottom_.dir("a");
  bottom_.dir("a/b");
  bottom_.file("a/b/f");
  EXPECT_THAT(merged({&top_, &bottom_}),
              ElementsAre("a/", "n/", "n/e/", "n/e/f@2"));
}

TEST_F(Merge, RedirectGoesThroughTheRedirectOfAMiddleLayer) {
  top_.dir("z", {redirect("/r")});
  top_.whiteout("r");
  middle_.dir("r", {redirect("/d")});
  middle_.whiteout("d");
  bottom_.dir("d");
  bottom_.file("d/f");
  EXPECT_THAT(merged({&top_, &middle_, &bottom_}), ElementsAre("z/", "z/f@3"));
}

TEST_F(Merge, RedirectToNothingIsAnEmptyDirectory) {
  top_.dir("m", {redirect("/missing")});
  top_.dir("n", {redirect("/file")});
  bottom_.file("file");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("file@2", "m/", "n/"));
}

TEST_F(Merge, OpaqueBeatsRedirect) {
  top_.dir("e", {kOpaque, redirect("/d")});
  bottom_.dir("d");
  bottom_.file("d/f");
  EXPECT_THAT(merged({&top_, &bottom_}), ElementsAre("d/", "d/f@2", "e/"));
}

TEST_F(Merge, MalformedRedirectIsAnErrorThatNamesThePath) {
  for (const char* to : {"../t", "/t/", "//t", "/", ""}) {
    FakeLayer top("top");
    top.dir("e", {redirect(to)});
    EXPECT_THAT(merged({&top, &bottom_}).at(0), HasSubstr("top/e")) << to;
  }
}

TEST_F(Merge, RedirectInTheLowestLayerIsNotRead) {
  bottom_.dir("e", {redirect("/t/")});
  EXPECT_THAT(merged({&bottom_}), ElementsAre("e/"));
}

TEST_F(Merge, TwoDirectoriesOverOneLowerAreRefused) {
  top_.dir("e", {redirect("/d")});
  bottom_.dir("d");
  bottom_.file("d/f");
  EXPECT_THAT(merged({&top_, &bottom_}).at(0), HasSubstr("twice"));
}

TEST_F(Merge, RedirectWithUserAttributesIsRefused) {
  top_.dir("e", {{"user.overlay.redirect", "d"}});
  bottom_.dir("d");
  EXPECT_THAT(merged({&top_, &bottom_}, XattrFamily::kUser).at(0),
              HasSubstr("userxattr"));
}

const Xattr kMetacopy{"trusted.overlay.metacopy", ""};

TEST_F(Merge, MetacopyFileHasTheBytesOfItsLower) {
  top_.file("f", "", {kMetacopy}).size = 4;
  bottom_.file("f", "data");
  const auto tree = merge({&top_, &bottom_});
  ASSERT_TRUE(tree) << tree.error().what();
  const Node& node = pool_[find_node(*tree, "f")];
  EXPECT_EQ(node.layer, 1);
  EXPECT_EQ(pool_[node.source].layer, 2);
}

TEST_F(Merge, MetacopyChainEndsInTheLayerWithData) {
  top_.file("h", "", {kMetacopy, redirect("/d/g")});
  middle_.dir("d");
  middle_.file("d/g", "", {kMetacopy, redirect("f")});
  bottom_.dir("d");
  bottom_.file("d/f", "data");
  const auto tree = merge({&top_, &middle_, &bottom_});
  ASSERT_TRUE(tree) << tree.error().what();
  EXPECT_EQ(pool_[pool_[find_node(*tree, "h")].source].layer, 3);
}

TEST_F(Merge, MetacopyWithoutDataIsAnErrorThatNamesThePath) {
  top_.file("f", "", {kMetacopy});
  EXPECT_THAT(merged({&top_, &bottom_}).at(0), HasSubstr("top/f"));
  FakeLayer other("other");
  other.file("f", "", {kMetacopy});
  bottom_.dir("f");
  EXPECT_THAT(merged({&other, &bottom_}).at(0), HasSubstr("other/f"));
}

TEST_F(Merge, MalformedMetacopyIsAnError) {
  top_.file("f", "", {{"trusted.overlay.metacopy", "x"}});
  bottom_.file("f");
  EXPECT_THAT(merged({&top_, &bottom_}).at(0), HasSubstr("malformed"));
}

TEST_F(Merge, DataOnlyLayerIsReachedByAbsoluteRedirectAlone) {
  FakeLayer data("data");
  data.dir("x");
  data.file("x/blob", "data");
  data_.add(data, 3);
  top_.file("f", "", {kMetacopy, redirect("/x/blob")});
  const auto tree = merge({&top_, &bottom_});
  ASSERT_TRUE(tree) << tree.error().what();
  EXPECT_THAT(tree_text(*tree), ElementsAre("f@1"));
  const Node& found = pool_[pool_[find_node(*tree, "f")].source];
  EXPECT_EQ(found.layer, 3);
  EXPECT_EQ(host_path(pool_, found), "x/blob");
}

TEST_F(Merge, ProtectedFlagsAreReadInUpperOnly) {
  const std::vector<std::pair<std::string, int>> cases{
      {"ai", 3}, {"ia", 3}, {"i", 1}, {"a", 2}, {"x", 0}, {"ix", 0}, {"", 0}};
  for (const auto& [value, flags] : cases)
    for (const uint16_t index : {uint16_t{0}, uint16_t{1}}) {
      FakeLayer layer;
      layer.file("f", "x", {{"trusted.overlay.protattr", value}});
      const auto scan = scan_layer(layer, index, kFamily, pool_);
      const NodeId node = pool_.child(scan->root, "f");
      EXPECT_EQ(pool_[node].flags, index == 0 ? flags : 0) << value;
    }
}

TEST_F(Merge, VeryDeepDirectoriesMerge) {
  std::string path;
  for (int i = 0; i < 3000; ++i) {
    path = join_path(path, "d");
    top_.dir(path);
  }
  EXPECT_EQ(merged({&top_, &bottom_}).size(), 3000U);
}

}  // namespace
}  // namespace ovl
