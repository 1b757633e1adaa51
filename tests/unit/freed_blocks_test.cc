// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest wrote and has freed, without a trim, takes no space of the host
// once the device is settled. While it is at work: e2e.freed_space.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/checkpoint_world.h"

namespace ovl {
namespace {

using ::testing::IsEmpty;

constexpr uint64_t kBig = 2 << 20;
constexpr uint64_t kLittle = kBig / 4;

class FreedBlocksTest : public ::testing::Test {
 protected:
  FreedBlocksTest() { open(); }

  void open() {
    const Status opened = world_.open();
    ASSERT_TRUE(opened) << opened.error().what();
  }
  void end() {
    const auto shown = world_.shown();
    const Status ended = world_.end();
    ASSERT_TRUE(ended) << ended.error().what();
    EXPECT_THAT(CheckpointWorld::difference(shown, world_.merged()), IsEmpty());
    kept_ = world_.kept_bytes();
    open();
    EXPECT_THAT(CheckpointWorld::difference(shown, world_.shown()), IsEmpty());
  }
  void work(const std::function<Status(GuestFs&)>& what) {
    const Status worked = world_.guest(what);
    ASSERT_TRUE(worked) << worked.error().what();
  }
  static Status make(GuestFs& fs, const std::string& path, char letter) {
    const std::string text(kBig, letter);
    OVL_TRY(fs.make_node(path, S_IFREG | 0644));
    return fs.write(path, 0, std::as_bytes(std::span(text)));
  }

  CheckpointWorld world_;
  uint64_t kept_ = 0;  // at the last end, on the host's disk
};

TEST_F(FreedBlocksTest, WhatNoCheckpointSawIsGivenBack) {
  work([](GuestFs& fs) -> Status {
    OVL_TRY(make(fs, "gone", 'g'));
    return make(fs, "b/gone", 'b');
  });
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("gone"));
    return fs.unlink("b/gone");
  });
  EXPECT_GE(world_.kept_bytes(), 2 * kBig);
  end();
  EXPECT_LT(kept_, kLittle);
}

// Without privilege log and store have all that the guest wrote.
TEST_F(FreedBlocksTest, WhatUpperHadIsGivenBackToo) {
  work([](GuestFs& fs) { return make(fs, "gone", 'g'); });
  end();
  work([](GuestFs& fs) { return fs.unlink("gone"); });
  end();
  EXPECT_LT(kept_, kLittle);
}

TEST_F(FreedBlocksTest, WhatIsInUseStays) {
  work([](GuestFs& fs) -> Status {
    OVL_TRY(make(fs, "gone", 'g'));
    return make(fs, "stays", 's');
  });
  work([](GuestFs& fs) -> Status {
    OVL_TRY(fs.unlink("gone"));
    return fs.truncate("stays", kBig / 2);
  });
  end();
  work([](GuestFs& fs) { return make(fs, "again", 'a'); });
  end();
  work([](GuestFs& fs) { return fs.unlink("stays"); });
  end();
}

TEST_F(FreedBlocksTest, ItReadsAsAHole) {
  work([](GuestFs& fs) { return make(fs, "gone", 'g'); });
  uint64_t first = 0;
  work([&](GuestFs& fs) -> Status {
    blk64_t block = 0;
    const Ino ino = OVL_TRY(fs.lookup("gone"));
    if (ext2fs_bmap2(fs.fs(), to_int(ino), nullptr, nullptr, 0, 20, nullptr,
                     &block) != 0)
      return fail(EIO, "bmap");
    first = block;
    return fs.unlink("gone");
  });
  ASSERT_NE(first, 0U);
  end();
  const auto extent = world_.device().extent_at(first * kBlockSize, kBlockSize);
  EXPECT_TRUE(extent.is_hole);
  std::array<char, kBlockSize> bytes{};
  ASSERT_TRUE(world_.device().read(first * kBlockSize,
                                   std::as_writable_bytes(std::span(bytes))));
  EXPECT_THAT(bytes, ::testing::Each('\0'));
}

// It takes back what upper provides; of this nobody does.
TEST_F(FreedBlocksTest, TheWholeTreesWriterDoesNotWriteItOut) {
  work([](GuestFs& fs) { return make(fs, "gone", 'g'); });
  work([](GuestFs& fs) { return fs.unlink("gone"); });
  end();
  world_.kill();
  world_.config().checkpoint = std::nullopt;
  open();
  work([](GuestFs& fs) { return fs.chmod("c", 0600); });
  end();
  EXPECT_LT(kept_, kLittle);
}

}  // namespace
}  // namespace ovl
