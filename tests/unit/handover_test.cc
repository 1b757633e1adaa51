// SPDX-License-Identifier: BSD-3-Clause
//
// What upper has of a guest's blocks leaves log and store, and the device shows
// the same as before, whatever becomes of upper's files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>

#include "tests/support/checkpoint_world.h"
#include "tests/support/full_os.h"
#include "tests/support/hooked_os.h"
#include "tests/support/host_layers.h"
#include "tests/support/stopping_os.h"

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kBig = 2 << 20;

std::string read_content(const GuestFs& guest, Ino ino) {
  ext2_file_t file = nullptr;
  if (ext2fs_file_open(guest.fs(), to_int(ino), 0, &file) != 0)
    return "cannot be opened";
  std::string content(static_cast<size_t>(ext2fs_file_get_size(file)), '?');
  unsigned int got = 0;
  const errcode_t error = ext2fs_file_read(
      file, content.data(), static_cast<unsigned int>(content.size()), &got);
  ext2fs_file_close(file);
  return error == 0 && got == content.size() ? content : "cannot be read";
}

std::string letters(uint64_t count, char letter) {
  return std::string(count, letter);
}

class HandoverTest : public ::testing::Test {
 protected:
  void open(CheckpointWorld::Upper upper = CheckpointWorld::Upper::kEmpty) {
    world_ = std::make_unique<CheckpointWorld>(host_os(), upper);
    reopen();
  }
  void reopen() {
    const Status opened = world_->open();
    ASSERT_TRUE(opened) << opened.error().what();
  }
  void guest(const std::function<Status(GuestFs&)>& work) {
    const Status worked = world_->guest(work);
    ASSERT_TRUE(worked) << worked.error().what();
  }
  void write(const std::string& path, uint64_t offset,
             const std::string& text) {
    guest([&](GuestFs& fs) -> Status {
      if (!fs.lookup(path))
        OVL_TRY(fs.make_node(path, S_IFREG | 0644));
      return fs.write(path, offset, std::as_bytes(std::span(text)));
    });
  }
  // The device shows what it did, before and after a kill; so does overlayfs.
  void checkpoint() {
    const auto shown = world_->shown();
    const auto done = world_->device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_TRUE(*done);
    expect_shown(shown);
    world_->kill();
    reopen();
    expect_shown(shown);
  }
  void end() {
    const auto shown = world_->shown();
    const Status ended = world_->end();
    ASSERT_TRUE(ended) << ended.error().what();
    ASSERT_THAT(world_->reports, IsEmpty());
    reopen();
    expect_shown(shown);
  }
  void expect_shown(const CheckpointWorld::Lines& shown) {
    ASSERT_THAT(CheckpointWorld::difference(shown, world_->shown()), IsEmpty());
    ASSERT_THAT(CheckpointWorld::difference(shown, world_->merged()),
                IsEmpty());
  }

  std::unique_ptr<CheckpointWorld> world_;
};

TEST_F(HandoverTest, WhatUpperHasLeavesLogAndStore) {
  open();
  write("big", 0, letters(kBig, 'x'));
  EXPECT_GT(world_->kept_bytes(), kBig);
  checkpoint();
  end();
  EXPECT_LT(world_->kept_bytes(), kBig / 2);
}

// The first checkpoint of a run costs what has changed, not what upper has.
TEST_F(HandoverTest, WhatUpperHasIsNotStagedAgainAfterAStart) {
  FullOs os;
  world_ = std::make_unique<CheckpointWorld>(os);
  reopen();
  write("big", 0, letters(kBig, 'x'));
  checkpoint();
  os.fill_up();
  guest([](GuestFs& fs) { return fs.rename("big", "moved"); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.chmod("moved", 0600); });
  checkpoint();
}

TEST_F(HandoverTest, AFileIsFoundWhereItWentTo) {
  open();
  write("a/big", 0, letters(kBig, 'x'));
  checkpoint();
  guest([](GuestFs& fs) { return fs.rename("a/big", "d/other"); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.rename("d", "a/moved"); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.link("a/moved/other", "link"); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.unlink("a/moved/other"); });
  checkpoint();
  end();
}

TEST_F(HandoverTest, AFileIsChangedInPartsAndInSize) {
  open();
  write("big", 0, letters(kBig, 'x'));
  checkpoint();
  write("big", 5 * kBlockSize + 17, letters(3 * kBlockSize, 'y'));
  checkpoint();
  guest([](GuestFs& fs) { return fs.truncate("big", 7 * kBlockSize + 5); });
  checkpoint();
  write("big", 20 * kBlockSize, letters(100, 'z'));
  checkpoint();
  guest([](GuestFs& fs) { return fs.punch("big", 2, 4); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.set_mtime("big", {77, 5}); });
  checkpoint();
  end();
}

TEST_F(HandoverTest, BlocksOfAFileThatIsGoneAreUsedAgain) {
  open();
  for (char letter = 'a'; letter < 'e'; ++letter) {
    write("new", 0, letters(kBig, letter));
    checkpoint();
    guest([](GuestFs& fs) { return fs.unlink("new"); });
    if (letter % 2 == 0)
      checkpoint();
  }
  end();
}

TEST_F(HandoverTest, TheEndOfABlockThatUpperHasNotStays) {
  open();
  write("file", 0, letters(kBlockSize, 'x'));
  // A file system may leave anything there.
  guest([](GuestFs& fs) -> Status {
    const Ino ino = OVL_TRY(fs.lookup("file"));
    GuestInode inode = OVL_TRY(fs.read_inode(ino));
    inode.fields.i_size = 100;
    return fs.write_inode(ino, inode);
  });
  const auto bytes = [this] {
    std::vector<std::byte> all(world_->device().size());
    EXPECT_TRUE(world_->device().read(0, all));
    return all;
  };
  const auto before = bytes();
  checkpoint();
  EXPECT_TRUE(before == bytes());
}

TEST_F(HandoverTest, FilesThatUpperHadBeforeAreChangedMovedAndRemoved) {
  open(CheckpointWorld::Upper::kFilled);
  write("a/b", 100, "in place");
  checkpoint();
  guest([](GuestFs& fs) { return fs.rename("b/e", "a/moved"); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.truncate("a/moved/a", 10); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.unlink("e"); });
  guest([](GuestFs& fs) { return fs.rename("a/e", "b/b"); });
  checkpoint();
  guest([](GuestFs& fs) { return fs.remove_tree("d"); });
  checkpoint();
  end();
}

// A guest that has a file open reads it without names, and so may the next
// mount of a guest that was frozen.
TEST_F(HandoverTest, AFileInUseKeepsItsBytesWithoutNames) {
  for (const auto upper :
       {CheckpointWorld::Upper::kEmpty, CheckpointWorld::Upper::kFilled}) {
    open(upper);
    const std::string path =
        upper == CheckpointWorld::Upper::kEmpty ? "big" : "a/e";
    if (upper == CheckpointWorld::Upper::kEmpty)
      write(path, 0, letters(kBig, 'x'));
    checkpoint();
    Ino ino{};
    guest([&](GuestFs& fs) -> Status {
      ino = OVL_TRY(fs.lookup(path));
      OVL_TRY(fs.link(path, "last name"));
      OVL_TRY(fs.unlink(path));
      return fs.unlink_in_use("last name");
    });
    const auto content = [&] {
      DeviceSource source(world_->device());
      GuestFs fs = GuestFs::open(source).value();
      return read_content(fs, ino);
    };
    const std::string before = content();
    ASSERT_GT(before.size(), 8000U);
    const uint64_t kept = world_->kept_bytes();
    for (int turn = 0; turn < 2; ++turn) {
      const auto done = world_->device().checkpoint_now();
      ASSERT_TRUE(done) << done.error().what();
      EXPECT_FALSE(std::filesystem::exists(world_->path("upper/" + path)));
      EXPECT_EQ(content(), before);
      EXPECT_TRUE(std::filesystem::exists(
          world_->path("work/ovl/kept/" + std::to_string(to_int(ino)))));
      EXPECT_LT(world_->kept_bytes(), kept + kBig / 2) << "it was copied";
      world_->kill();
      reopen();
      EXPECT_EQ(content(), before);
    }
  }
}

// Where the next start looks for a block is what the catalog says then.
TEST_F(HandoverTest, BlocksOfAFileInUseMayChangePlaces) {
  open();
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("file", S_IFREG | 0644));
    for (const char letter : {'a', 'b', 'c'}) {
      const std::string text = letters(kBlockSize, letter);
      OVL_TRY(fs.write("file", uint64_t(letter - 'a') * kBlockSize,
                       std::as_bytes(std::span(text))));
    }
    return {};
  });
  checkpoint();
  Ino ino{};
  guest([&](GuestFs& fs) -> Status {
    ino = OVL_TRY(fs.lookup("file"));
    return fs.unlink_in_use("file");
  });
  ASSERT_TRUE(world_->device().checkpoint_now());
  guest([&](GuestFs& fs) -> Status {
    GuestInode inode = OVL_TRY(fs.read_inode(ino));
    std::swap(inode.fields.i_block[0], inode.fields.i_block[2]);
    return fs.write_inode(ino, inode);
  });
  const auto content = [&] {
    DeviceSource source(world_->device());
    GuestFs fs = GuestFs::open(source).value();
    return read_content(fs, ino);
  };
  const std::string moved = letters(kBlockSize, 'c') +
                            letters(kBlockSize, 'b') + letters(kBlockSize, 'a');
  ASSERT_EQ(content(), moved);
  ASSERT_TRUE(world_->device().checkpoint_now());
  EXPECT_EQ(content(), moved);
  world_->kill();
  reopen();
  EXPECT_EQ(content(), moved);
}

Status swap_first_blocks(GuestFs& fs, const char* one, const char* other) {
  const Ino first = OVL_TRY(fs.lookup(one));
  const Ino second = OVL_TRY(fs.lookup(other));
  GuestInode a = OVL_TRY(fs.read_inode(first));
  GuestInode b = OVL_TRY(fs.read_inode(second));
  std::swap(a.fields.i_block[0], b.fields.i_block[0]);
  OVL_TRY(fs.write_inode(first, a));
  return fs.write_inode(second, b);
}

// As a program that defragments leaves them: nobody has written them there.
TEST_F(HandoverTest, BlocksOfAFileThatIsGoneMayBeAnothers) {
  open();
  for (const char* path : {"known", "gone", "gone too"})
    write(path, 0, letters(3 * kBlockSize, path[std::strlen(path) - 1]));
  checkpoint();
  guest([](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("new", S_IFREG | 0644));
    const std::string text = letters(2 * kBlockSize, 'N');
    OVL_TRY(fs.write("new", 0, std::as_bytes(std::span(text))));
    OVL_TRY(swap_first_blocks(fs, "new", "gone"));
    OVL_TRY(swap_first_blocks(fs, "known", "gone too"));
    OVL_TRY(fs.unlink("gone"));
    return fs.unlink("gone too");
  });
  checkpoint();
  end();
}

TEST_F(HandoverTest, StoppedAnywhereAFileInUseKeepsItsBytes) {
  bool was_stopped = true;
  for (uint64_t stop = 0; was_stopped; ++stop) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    StoppingOs os;
    world_ =
        std::make_unique<CheckpointWorld>(os, CheckpointWorld::Upper::kFilled);
    reopen();
    write("made", 0, letters(9000, 'm'));
    checkpoint();
    std::vector<Ino> inodes;
    guest([&](GuestFs& fs) -> Status {
      for (const char* path : {"made", "a/e", "b/a"}) {
        inodes.push_back(OVL_TRY(fs.lookup(path)));
        OVL_TRY(fs.unlink_in_use(path));
      }
      return {};
    });
    const auto contents = [&] {
      DeviceSource source(world_->device());
      GuestFs fs = GuestFs::open(source).value();
      std::string all;
      for (const Ino ino : inodes)
        all += read_content(fs, ino);
      return all;
    };
    const std::string before = contents();
    ASSERT_EQ(before.size(), 9000U + 9000U + 5000U);
    os.reset();
    os.stop_at(stop);
    (void)world_->device().checkpoint_now();
    was_stopped = os.count() > stop;
    os.reset();
    ASSERT_EQ(contents(), before);
    world_->kill();
    reopen();
    ASSERT_EQ(contents(), before);
    ASSERT_TRUE(world_->device().flush());
    const auto done = world_->device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    ASSERT_EQ(contents(), before);
    EXPECT_FALSE(std::filesystem::exists(world_->path("upper/made")));
  }
}

// Where the device has a block of a file.
uint64_t offset_of(Device& device, const std::string& path, uint64_t number) {
  DeviceSource source(device);
  const GuestFs fs = GuestFs::open(source).value();
  blk64_t block = 0;
  ext2fs_bmap2(fs.fs(), to_int(fs.lookup(path).value()), nullptr, nullptr, 0,
               number, nullptr, &block);
  return block * kBlockSize;
}

// Where the base has zeros, too, nothing but the catalog tells of what was
// there before.
TEST(HandoverZeros, ThatWereFoldedReachUpperAfterARestart) {
  HookedOs os(host_os());
  CheckpointWorld world(os);
  ASSERT_TRUE(world.open());
  const std::string text = letters(4 * kBlockSize, 'x');
  ASSERT_TRUE(world.guest([&](GuestFs& fs) -> Status {
    OVL_TRY(fs.make_node("file", S_IFREG | 0644));
    return fs.write("file", 0, std::as_bytes(std::span(text)));
  }));
  ASSERT_TRUE(world.device().checkpoint_now().value());
  Device& device = world.device();
  ASSERT_TRUE(device.zero(offset_of(device, "file", 1), kBlockSize));
  os.fill_up();  // which folds
  ASSERT_TRUE(device.write(offset_of(device, "file", 3),
                           std::as_bytes(std::span("y", 1))));
  ASSERT_TRUE(world.open());
  ASSERT_TRUE(world.device().flush());
  ASSERT_TRUE(world.device().checkpoint_now().value());
  EXPECT_THAT(CheckpointWorld::difference(world.shown(), world.merged()),
              IsEmpty());
}

TEST_F(HandoverTest, WhoeverChangesAFileIsFoundOut) {
  open();
  write("big", 0, letters(kBig, 'x'));
  checkpoint();
  std::ofstream(world_->path("upper/big")) << "somebody else's";
  std::vector<std::byte> all(world_->device().size());
  EXPECT_EQ(world_->device().read(0, all).error().code(), EIO);
  EXPECT_EQ(world_->device().read(0, all).error().code(), EIO);
  EXPECT_THAT(world_->reports,
              ElementsAre(HasSubstr("big: changed by somebody else")));
}

// Also when nobody looked; all else can be read.
TEST_F(HandoverTest, WhoeverChangesAFileBetweenRunsIsFoundOut) {
  open();
  write("big", 0, letters(kBig, 'x'));
  write("other", 0, letters(kBig, 'y'));
  checkpoint();
  const auto shown = world_->shown();
  const auto time = std::filesystem::last_write_time(world_->path("upper/big"));
  const auto root_time =
      std::filesystem::last_write_time(world_->path("upper"));
  world_->kill();
  std::ofstream(world_->path("upper/big")) << letters(kBig, 'z');
  reopen();
  EXPECT_THAT(world_->reports,
              ElementsAre(HasSubstr("big: changed by somebody else")));
  DeviceSource source(world_->device());
  const GuestFs fs = GuestFs::open(source).value();
  EXPECT_EQ(read_content(fs, fs.lookup("big").value()), "cannot be read");
  EXPECT_EQ(read_content(fs, fs.lookup("other").value()), letters(kBig, 'y'));
  world_->kill();
  std::filesystem::remove(world_->path("upper/big"));
  ASSERT_EQ(::mkfifo(world_->path("upper/big").c_str(), 0644), 0);
  reopen();
  {
    DeviceSource now(world_->device());
    const GuestFs guest = GuestFs::open(now).value();
    EXPECT_EQ(read_content(guest, guest.lookup("big").value()),
              "cannot be read");
  }
  world_->kill();
  std::filesystem::remove(world_->path("upper/big"));
  std::ofstream(world_->path("upper/big")) << letters(kBig, 'x');
  std::filesystem::last_write_time(world_->path("upper/big"), time);
  std::filesystem::last_write_time(world_->path("upper"), root_time);
  world_->reports.clear();
  reopen();
  expect_shown(shown);
  EXPECT_THAT(world_->reports, IsEmpty());
}

}  // namespace
}  // namespace ovl
