// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest makes of a large file while it is copied ahead of a checkpoint
// is in upper, and only what is still the lower's is taken from the copy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/copy_fixture.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What the copy got of the guest's is the lower's again, and not in the copy.
TEST_F(CopiesAheadTest, BlocksThatMoveBackAreCopied) {
  story_.begin();
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(CopyStory::change_one_byte(fs));
    return move_blocks(fs);
  });
  os_.cannot_open = "plan";
  EXPECT_FALSE(story_.try_checkpoint());
  os_.cannot_open.clear();
  story_.work(move_blocks);
  end();
}

// What a guest does between two attempts.
struct Between {
  std::string name;
  std::function<Status(GuestFs&)> what;
  const char* file;  // that is in upper then; null: none
};

void PrintTo(const Between& between, std::ostream* out) {
  *out << between.name;
}

const std::string kOverwritten(CopyStory::kBytes, 'o');

Status swap_blocks(GuestFs& fs, const std::string& first,
                   const std::string& second) {
  const Ino a = OVL_TRY(fs.lookup(first));
  const Ino b = OVL_TRY(fs.lookup(second));
  GuestInode one = OVL_TRY(fs.read_inode(a));
  GuestInode two = OVL_TRY(fs.read_inode(b));
  std::swap(one.fields.i_block, two.fields.i_block);
  std::swap(one.fields.i_blocks, two.fields.i_blocks);
  OVL_TRY(fs.write_inode(a, one));
  return fs.write_inode(b, two);
}

const Between kBetween[] = {
    {"Nothing", [](GuestFs&) { return Status(); }, "big"},
    {"Written",
     [](GuestFs& fs) { return fs.write("big", 77, story_bytes("more")); },
     "big"},
    {"Grown",
     [](GuestFs& fs) {
       return fs.write("big", CopyStory::kBytes + 9999, story_bytes("more"));
     },
     "big"},
    {"HoleFilled",
     [](GuestFs& fs) {
       return fs.write("big", CopyStory::kHole, story_bytes(kOverwritten));
     },
     "big"},
    {"Shrunk",
     [](GuestFs& fs) { return fs.truncate("big", 2 * kCopyChunk + 4097); },
     "big"},
    {"ShrunkAndGrown",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.truncate("big", 4097));
       return fs.truncate("big", CopyStory::kBytes + kCopyChunk);
     },
     "big"},
    {"Punched", [](GuestFs& fs) { return fs.punch("big", 5, 300); }, "big"},
    {"Renamed", [](GuestFs& fs) { return fs.rename("big", "b/d/now"); },
     "b/d/now"},
    {"Replaced", [](GuestFs& fs) { return fs.rename("other", "big"); }, "big"},
    {"Linked",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.link("big", "a/link"));
       return fs.unlink("big");
     },
     "a/link"},
    {"MovedWithItsDirectory",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.mkdir("new", 0755));
       OVL_TRY(fs.mkdir("new/inner", 0755));
       return fs.rename("big", "new/inner/big");
     },
     "new/inner/big"},
    {"Deleted", [](GuestFs& fs) { return fs.unlink("big"); }, nullptr},
    {"Overwritten",
     [](GuestFs& fs) { return fs.write("big", 0, story_bytes(kOverwritten)); },
     "big"},
    {"MadeAnew",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.unlink("big"));
       OVL_TRY(fs.make_node("big", S_IFREG | 0640));
       return fs.write("big", 4096, story_bytes(kOverwritten));
     },
     "big"},
    {"BlocksSwapped",
     [](GuestFs& fs) { return swap_blocks(fs, "big", "other"); }, "big"},
    {"BlocksMoved", move_blocks, "big"},
    {"Attributes",
     [](GuestFs& fs) -> Status {
       OVL_TRY(fs.chmod("big", 0600));
       OVL_TRY(fs.set_mtime("big", {123456, 789}));
       return fs.set_xattr("big", "user.one", "1");
     },
     "big"},
};

class CopiesBetween : public CopiesAheadTest,
                      public ::testing::WithParamInterface<Between> {
 protected:
  void go_on() {
    const auto kept = story_.kept();
    os_.copied.clear();
    const auto before = story_.before;
    story_.work(GetParam().what);
    story_.before = before;
    story_.checkpoint();
    EXPECT_FALSE(story_.has_copies());
    if (GetParam().file != nullptr) {
      EXPECT_EQ(story_.upper(GetParam().file).st_nlink, 1U);
    }
    if (::testing::Test::HasFailure())
      return;
    story_.check_end();
  }
};

TEST_P(CopiesBetween, WhileItIsMade) {
  begin_and_interrupt();
  const auto kept = story_.kept();
  go_on();
  if (GetParam().name != "Replaced" && GetParam().name != "BlocksSwapped") {
    EXPECT_THAT(common_chunks(kept, os_.copied), IsEmpty());
  }
}

TEST_P(CopiesBetween, AcrossARestart) {
  begin_and_interrupt();
  story_.restart();
  go_on();
}

// It has bytes and attributes of the file that it was to become.
TEST_P(CopiesBetween, AfterItWasGiven) {
  story_.begin();
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(CopyStory::change_one_byte(fs));
    OVL_TRY(fs.punch("big", 100, 5));
    OVL_TRY(fs.write("big", CopyStory::kHole, story_bytes("in the hole")));
    OVL_TRY(fs.set_xattr("big", "user.gone", "1"));
    return fs.chmod("big", 0);
  });
  // The plan is written behind all that.
  os_.cannot_open = "plan";
  EXPECT_FALSE(story_.try_checkpoint());
  os_.cannot_open.clear();
  EXPECT_THAT(story_.kept(), ElementsAre(1, 2, 4));
  story_.work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.remove_xattr("big", "user.gone"));
    return fs.chmod("big", 0644);
  });
  go_on();
}

TEST_P(CopiesBetween, NothingIsCopiedForWhatNeedsItNoMore) {
  begin_and_interrupt();
  const std::string& name = GetParam().name;
  go_on();
  if (name == "Deleted" || name == "Overwritten" || name == "MadeAnew" ||
      name == "ShrunkAndGrown") {
    EXPECT_THAT(os_.copied, IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Guest, CopiesBetween, ::testing::ValuesIn(kBetween),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace ovl
