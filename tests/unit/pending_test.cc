// SPDX-License-Identifier: BSD-3-Clause
//
// What `ovl decode` tells of, read from the workdir of a server that is gone.
#include <gtest/gtest.h>

#include <algorithm>

#include "fsengine/device/pending.h"
#include "tests/support/checkpoint_story.h"

namespace ovl {
namespace {

// Since the device was laid out, not since upper has it.
TEST(PendingTest, TellsOfContentThatUpperProvides) {
  CheckpointStory story(host_os());
  story.begin();
  story.work([](GuestFs& fs) -> Status {
    const Ino ino = OVL_TRY(fs.lookup("b/a"));
    const GuestInode was = OVL_TRY(fs.read_inode(ino));
    OVL_TRY(fs.write("b/a", 0, story_bytes(std::string(5000, 'Z'))));
    return fs.set_mtime("b/a", {static_cast<int64_t>(was.fields.i_mtime),
                                was.fields.i_mtime_extra >> 2});
  });
  story.checkpoint();
  story.world.kill();
  auto pending = PendingChanges::open(host_os(), story.world.path("work"));
  ASSERT_TRUE(pending) << pending.error().what();
  const auto changes = (*pending)->decode();
  ASSERT_TRUE(changes) << changes.error().what();
  EXPECT_TRUE(
      std::ranges::any_of(changes->objects, [](const ObjectChange& object) {
        return object.content && !object.content->changed.empty();
      }));
}

}  // namespace
}  // namespace ovl
