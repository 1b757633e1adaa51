// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cerrno>
#include <iterator>

#include "tests/support/copy_story.h"
#include "tests/support/stopping_os.h"

namespace ovl {

/// Chunks that a copy had, and that were copied all the same.
inline std::set<uint64_t> common_chunks(const std::set<uint64_t>& kept,
                                        const std::multiset<uint64_t>& copied) {
  std::set<uint64_t> both;
  std::ranges::set_intersection(kept, copied, std::inserter(both, both.end()));
  return both;
}

/// Two large files of a lower, and a copy of one that a test interrupts.
class CopiesAheadTest : public ::testing::Test {
 protected:
  // The checkpoint is given up behind so many chunks.
  void interrupt_at(uint64_t chunks) {
    os_.copied.clear();
    os_.before_copy = [chunks](uint64_t chunk) -> Status {
      if (chunk >= chunks)
        return fail(EIO, "interrupted");
      return {};
    };
    EXPECT_FALSE(story_.try_checkpoint());
    os_.before_copy = {};
    os_.copied.clear();
  }
  void begin_and_interrupt() {
    story_.begin();
    story_.work(CopyStory::change_one_byte);
    interrupt_at(3);
    ASSERT_THAT(story_.kept(), ::testing::SizeIs(3));
  }
  // The end takes time.
  static void check(CopyStory& story, uint64_t stop) {
    story.expect_given("big");
    EXPECT_THAT(CheckpointWorld::difference(story.after, story.world.merged()),
                ::testing::IsEmpty());
    if (stop % 8 == 0)
      story.check_end();
  }
  void end(const std::string& name = "big") {
    story_.checkpoint();
    story_.expect_given(name);
    story_.check_end();
  }

  CopyWatch<StoppingOs> os_;
  CopyStory story_{os_};
};

/// Two blocks of the large file change places: no byte of theirs is written.
inline Status move_blocks(GuestFs& fs) {
  const Ino ino = OVL_TRY(fs.lookup("big"));
  GuestInode inode = OVL_TRY(fs.read_inode(ino));
  std::swap(inode.fields.i_block[3], inode.fields.i_block[7]);
  return fs.write_inode(ino, inode);
}

}  // namespace ovl
