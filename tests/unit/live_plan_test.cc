// SPDX-License-Identifier: BSD-3-Clause
//
// What a checkpoint does to upper, case by case, in the form that needs no
// privilege; where redirects are the point, as root.
#include "fsengine/overlay/live_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fsengine/overlay/live_nodes.h"
#include "tests/support/live_world.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr Way kUnprivileged{"Unprivileged", false, {}};
constexpr Way kPrivileged{"Privileged", true, {}};

class LivePlanTest : public ::testing::Test {
 protected:
  LivePlanTest() {
    for (const char* name : {"lower", "upper", "staging"})
      temp_.dir(name);
  }

  void put(const std::string& path, const std::string& content = "x") const {
    fs::create_directories(fs::path(temp_.path(path)).parent_path());
    std::ofstream(temp_.path(path)) << content;
  }

  LiveWorld& world(const Way& way = kUnprivileged) {
    if (!world_) {
      world_ = std::make_unique<LiveWorld>(way, Lines{temp_.path("lower")},
                                           temp_.path("upper"),
                                           temp_.path("staging"), random_);
      world_->changes().moved_in = 0;
    }
    return *world_;
  }
  GuestModel& guest() { return world().guest(); }
  void checkpoint(bool redirect_dir = false) {
    world().checkpoint(redirect_dir, false);
  }

  // Names in upper, those of directories with a slash, of whiteouts with a "-".
  Lines upper() const {
    Lines names;
    const std::string root = temp_.path("upper");
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const auto kind = entry.symlink_status().type();
      names.push_back(entry.path().string().substr(root.size() + 1) +
                      (kind == fs::file_type::character   ? "-"
                       : kind == fs::file_type::directory ? "/"
                                                          : ""));
    }
    return names;
  }

  uint64_t ino(const std::string& path) const {
    struct stat st {};
    EXPECT_EQ(::lstat(temp_.path("upper/" + path).c_str(), &st), 0) << path;
    return st.st_ino;
  }

  TempDir temp_;
  std::mt19937_64 random_{1};
  std::unique_ptr<LiveWorld> world_;
};

TEST_F(LivePlanTest, NothingChangedIsNothingToDo) {
  put("lower/d/f");
  checkpoint();
  EXPECT_TRUE(world().steps.empty());
  EXPECT_THAT(upper(), IsEmpty());
}

TEST_F(LivePlanTest, AChangedFileIsCopiedUpWithItsDirectories) {
  put("lower/a/b/f");
  put("lower/a/other");
  guest().write("a/b/f", 'y');
  checkpoint();
  EXPECT_THAT(upper(), UnorderedElementsAre("a/", "a/b/", "a/b/f"));
}

TEST_F(LivePlanTest, CopyUpTakesAllNamesOfALink) {
  put("lower/a/f");
  fs::create_directories(temp_.path("lower/b"));
  fs::create_hard_link(temp_.path("lower/a/f"), temp_.path("lower/b/g"));
  guest().chmod("a/f", 0700);
  checkpoint();
  EXPECT_THAT(upper(), UnorderedElementsAre("a/", "a/f", "b/", "b/g"));
  EXPECT_EQ(ino("a/f"), ino("b/g"));
}

TEST_F(LivePlanTest, OneNameOfALowersLinkGoesWithoutCopyUp) {
  put("lower/f");
  fs::create_hard_link(temp_.path("lower/f"), temp_.path("lower/g"));
  guest().remove("g");
  checkpoint();
  EXPECT_THAT(upper(), ElementsAre("g-"));
}

TEST_F(LivePlanTest, AWhiteoutOnlyWhereALowerHasTheName) {
  put("lower/f");
  guest().create("new");
  checkpoint();
  guest().remove("f");
  guest().remove("new");
  checkpoint();
  EXPECT_THAT(upper(), ElementsAre("f-"));
}

TEST_F(LivePlanTest, RecreatedOverAWhiteout) {
  put("lower/d/f");
  guest().remove("d");
  checkpoint();
  EXPECT_THAT(upper(), ElementsAre("d-"));
  guest().mkdir("d");
  guest().create("d/g");
  checkpoint();  // opaque: f does not show
  EXPECT_THAT(upper(), UnorderedElementsAre("d/", "d/g"));
}

TEST_F(LivePlanTest, AMovedLowerDirectoryGetsARedirect) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "needs root: attributes in trusted.*";
  put("lower/d/f");
  world(kPrivileged);
  guest().rename("d", "e");
  checkpoint(true);
  EXPECT_THAT(upper(), UnorderedElementsAre("d-", "e/"));
}

TEST_F(LivePlanTest, WithoutRedirectsAllInItIsCopiedUp) {
  put("lower/d/sub/f");
  put("lower/d/g");
  guest().rename("d", "e");
  checkpoint();
  EXPECT_THAT(upper(),
              UnorderedElementsAre("d-", "e/", "e/g", "e/sub/", "e/sub/f"));
}

TEST_F(LivePlanTest, WithoutRedirectsItsWhiteoutsGo) {
  put("lower/d/sub/f");
  put("lower/d/sub/h");
  put("lower/d/g");
  guest().remove("d/g");
  guest().remove("d/sub/f");
  checkpoint();
  guest().rename("d", "e");
  checkpoint();
  EXPECT_THAT(upper(), UnorderedElementsAre("d-", "e/", "e/sub/", "e/sub/h"));
}

TEST_F(LivePlanTest, AMovedUpperDirectoryTakesItsContentAlong) {
  guest().mkdir("d");
  for (int i = 0; i < 50; ++i)
    guest().create("d/" + std::to_string(i));
  checkpoint();
  const uint64_t before = ino("d/7");
  guest().rename("d", "e");
  checkpoint();
  EXPECT_THAT(world().steps.moves, SizeIs(1));
  EXPECT_THAT(world().steps.names, SizeIs(1));
  EXPECT_EQ(ino("e/7"), before);
}

TEST_F(LivePlanTest, DirectoriesChangePlaces) {
  guest().mkdir("a");
  guest().mkdir("a/b");
  guest().create("a/b/f");
  checkpoint();
  guest().rename("a/b", "b");  // and its parent goes into it
  guest().rename("a", "b/a");
  checkpoint();
  EXPECT_THAT(upper(), UnorderedElementsAre("b/", "b/a/", "b/f"));
}

TEST_F(LivePlanTest, AFileOfUpperIsPatchedWhereItIs) {
  guest().create("f");
  for (uint32_t block = 0; block < 100; ++block)
    guest().write("f", 'x', block);
  checkpoint();
  const uint64_t before = ino("f");
  guest().write("f", 'y', 50);
  guest().punch("f", 70);
  checkpoint();
  EXPECT_EQ(ino("f"), before);
  ASSERT_THAT(world().steps.patches, SizeIs(1));
  EXPECT_THAT(world().steps.patches[0].ranges,
              ElementsAre(FileRange{50, 1, false}, FileRange{70, 1, true}));
}

TEST_F(LivePlanTest, PatchedByOneNameOfTwo) {
  guest().create("f");
  guest().write("f", 'x');
  guest().link("f", "g");
  checkpoint();
  guest().write("g", 'y');
  guest().remove("f");
  checkpoint();
  EXPECT_THAT(upper(), ElementsAre("g"));
}

// Attributes are compared by checkpoint().
TEST_F(LivePlanTest, APatchedFileHasTheAttributesOfTheGuests) {
  guest().create("f");
  guest().write("f", 'x');
  guest().chmod("f", 04755);
  guest().set_xattrs("f", {{"user.a", "1"}, {"user.b", "2"}});
  checkpoint();
  guest().write("f", 'y');
  guest().set_xattrs("f", {{"user.b", "3"}});
  checkpoint();
  EXPECT_THAT(world().steps.patches, SizeIs(1));
}

// Modes, too: they are widened meanwhile.
TEST_F(LivePlanTest, DirectoriesThatBarUs) {
  guest().mkdir("from");
  guest().mkdir("from/d");
  guest().create("from/d/f");
  for (const char* path : {"from/d", "from"})
    guest().chmod(path, 0500);
  checkpoint();
  guest().mkdir("to");
  guest().rename("from/d", "to/d");
  guest().chmod("to", 0500);
  checkpoint();
  guest().rename("to/d", "from/e");
  guest().remove("from/e/f");
  checkpoint();
  EXPECT_THAT(upper(), UnorderedElementsAre("from/", "from/e/", "to/"));
}

TEST_F(LivePlanTest, AFileWithMovedBlocksIsMadeAnew) {
  guest().create("f");
  guest().write("f", 'x');
  guest().link("f", "g");
  checkpoint();
  const uint64_t before = ino("f");
  guest().write("f", 'y');
  world().changes().moved_in = 1;
  checkpoint();
  EXPECT_NE(ino("f"), before);
  EXPECT_EQ(ino("f"), ino("g"));
  EXPECT_THAT(world().steps.patches, IsEmpty());
}

TEST_F(LivePlanTest, ReplacedByRename) {
  put("lower/f", "old");
  guest().create("f~");
  guest().write("f~", 'n');
  checkpoint();
  const uint64_t made = ino("f~");
  guest().rename("f~", "f");
  checkpoint();
  EXPECT_THAT(upper(), ElementsAre("f"));
  EXPECT_EQ(ino("f"), made);
}

TEST_F(LivePlanTest, AnotherObjectInUpperIsRefused) {
  guest().create("f");
  guest().mkdir("d");
  checkpoint();
  fs::rename(temp_.path("upper/f"), temp_.path("upper/old"));
  put("upper/f");
  guest().chmod("f", 0600);
  const auto changed = world().apply(false, false);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code(), ESTALE);
  EXPECT_THAT(changed.error().what(),
              ::testing::HasSubstr("upperdir: f: changed by somebody else"));
}

// One more in a directory of many costs what it costs in a small one.
TEST_F(LivePlanTest, TheSizeOfADirectoryMakesNoDifference) {
  guest().mkdir("many");
  for (int i = 0; i < 2000; ++i)
    guest().create("many/" + std::to_string(i));
  checkpoint();
  guest().create("many/one more");
  checkpoint();
  EXPECT_THAT(world().steps.names, SizeIs(1));
  EXPECT_THAT(world().steps.attributes, SizeIs(1));
}

ContentChange change_of(uint64_t blocks, std::vector<FileRange> ranges) {
  return {blocks * kBlockSize, std::move(ranges), false};
}

TEST(HolesAfter, AWrittenFileHasNone) {
  EXPECT_EQ(holes_after({}, change_of(2, {{0, 2, false}})), HoleMap());
}

TEST(HolesAfter, BehindTheOldEndIsAHole) {
  const HoleMap map = holes_after({{0, 1}}, change_of(3, {{2, 1, false}}));
  EXPECT_TRUE(map.sparse);
  EXPECT_THAT(map.runs, ElementsAre(DataRun{0, 1}, DataRun{2, 1}));
}

TEST(HolesAfter, PunchedAndWritten) {
  const HoleMap map = holes_after(
      {{0, 10}}, change_of(10, {{2, 1, true}, {3, 1, false}, {4, 1, true}}));
  EXPECT_THAT(map.runs,
              ElementsAre(DataRun{0, 2}, DataRun{3, 1}, DataRun{5, 5}));
}

TEST(HolesAfter, CutAtTheNewEnd) {
  const HoleMap map = holes_after({{1, 10}}, change_of(4, {}));
  EXPECT_THAT(map.runs, ElementsAre(DataRun{1, 3}));
}

TEST(HolesAfter, FilledUp) {
  EXPECT_EQ(holes_after({{0, 1}, {2, 2}}, change_of(4, {{1, 1, false}})),
            HoleMap());
}

}  // namespace
}  // namespace ovl
