// SPDX-License-Identifier: BSD-3-Clause
//
// What happens to a device until a checkpoint that a test interrupts, and what
// must be true of it after that.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/checkpoint_world.h"

namespace ovl {

inline std::span<const std::byte> story_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline Status first_work(GuestFs& fs) {
  OVL_TRY(fs.mkdir("made", 0755));
  OVL_TRY(fs.make_node("made/file", S_IFREG | 0644));
  OVL_TRY(fs.write("made/file", 0, story_bytes(std::string(9000, 'm'))));
  OVL_TRY(fs.make_node("plain", S_IFREG | 0600));
  OVL_TRY(fs.make_node("stale", S_IFREG | 0600));
  OVL_TRY(fs.symlink("plain", "symlink"));
  OVL_TRY(fs.mkdir("kept", 0755));
  return fs.make_node("kept/inner", S_IFREG | 0600);
}

inline Status change_what_upper_had(GuestFs& fs) {
  OVL_TRY(fs.write("e", 4096, story_bytes(std::string(100, 'E'))));
  OVL_TRY(fs.truncate("b/e/c", 5000));
  return fs.unlink("b/e/a");
}

// Every kind of step that publishing has.
inline Status second_work(GuestFs& fs) {
  OVL_TRY(fs.rename("a", "made/here"));
  OVL_TRY(fs.rename("kept", "moved"));
  OVL_TRY(fs.remove_tree("d"));
  OVL_TRY(fs.mkdir("d", 0700));
  OVL_TRY(fs.make_node("d/n", S_IFREG | 0600));
  OVL_TRY(fs.write("b/a", 0, story_bytes("after!")));
  OVL_TRY(fs.write("made/file", 4096, story_bytes(std::string(4096, 'p'))));
  OVL_TRY(fs.unlink("stale"));
  OVL_TRY(fs.unlink("plain"));
  OVL_TRY(fs.mkdir("plain", 0755));
  OVL_TRY(fs.link("c", "linked"));
  if (fs.lookup("b/e"))
    OVL_TRY(change_what_upper_had(fs));
  return fs.chmod("moved", 0750);
}

class CheckpointStory {
 public:
  explicit CheckpointStory(
      Os& os, CheckpointWorld::Upper upper = CheckpointWorld::Upper::kFilled)
      : world(os, upper) {
    world.config().check_upper = false;
  }

  CheckpointWorld world;
  CheckpointWorld::Lines before;  // what upper shows
  CheckpointWorld::Lines after;   // what it is to show, as the guest does

  void begin() { must(world.open()); }
  void work(const std::function<Status(GuestFs&)>& what) {
    before = world.merged();
    must(world.guest(what));
    after = world.shown();
  }
  void restart() {
    world.kill();
    must(world.open());
    if (world.is_open())
      expect_after(world.shown());
  }
  // A client that is still there flushes; one sync of the log that failed is
  // for ever, and takes a restart.
  void checkpoint() {
    if (!world.device().flush()) {
      restart();
      must(world.device().flush());
    }
    const auto done = world.device().checkpoint_now();
    EXPECT_TRUE(done) << done.error().what();
    EXPECT_TRUE(done.value_or(false));
  }
  void check_end() {
    checkpoint();
    expect_after(world.merged());
    world.config().check_upper = true;
    world.kill();
    must(world.open());
    must(world.end());
    expect_after(world.merged());
  }

 protected:
  void must(const Status& status) {
    EXPECT_TRUE(status) << status.error().what();
  }
  void expect_after(const CheckpointWorld::Lines& lines) {
    EXPECT_THAT(CheckpointWorld::difference(after, lines),
                ::testing::IsEmpty());
  }
};

}  // namespace ovl
