// SPDX-License-Identifier: BSD-3-Clause
//
// The story of a checkpoint, or of the end of a run, on a host that may lose
// its power.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>

#include "tests/support/checkpoint_story.h"
#include "tests/support/power_os.h"

namespace ovl {

class PowerStory : public CheckpointStory {
 public:
  // What is interrupted.
  enum class Act {
    kFirst,    // the first checkpoint, of an upper that is empty
    kNext,     // one that finds what the first has made
    kResumed,  // the same, of a new server
    kEnd,      // the end of a run
    kWhole,    // the same, without checkpoints
    kEmpty,    // a checkpoint that has nothing to publish
  };

  PowerStory(PowerOs& os, Act act) : CheckpointStory(os), os_(os), act_(act) {
    const std::string morgue = world.path("morgue");
    std::filesystem::create_directory(morgue);
    os.watch({world.path("upper"), world.path("work")}, morgue);
    if (act == Act::kWhole)
      world.config().checkpoint.reset();
    begin();
    if (act == Act::kEmpty)
      work([this](GuestFs& fs) { return change_nothing(fs); });
    else
      work(first_work);
    if (act != Act::kFirst && act != Act::kEmpty)
      go_on();
  }

  // Whether all was done.
  bool run_until(uint64_t operation) {
    os_.reset();
    os_.stop_at(operation);
    const bool done = run();
    is_behind_sync_ = os_.is_behind_sync();
    const bool was_stopped = os_.count() > operation;
    EXPECT_EQ(done, !was_stopped);
    world.kill();
    os_.reset();
    return !was_stopped;
  }
  bool is_behind_sync() const { return is_behind_sync_; }

  void lose_power(Loss loss, uint64_t seed) {
    world.kill();
    os_.reset();
    os_.cut(loss, seed);
  }
  bool run() {
    return is_end() ? world.device().write_back().has_value()
                    : world.device().checkpoint_now().has_value();
  }
  // After an error that passed.
  void run_again(bool is_new_server) {
    if (is_new_server || is_end())
      restart();
    if (is_end())
      must(world.end());
    else
      checkpoint();
  }

  // Upper is one state or the other, and stays it.
  void check_recovery() {
    restart();
    ASSERT_TRUE(world.is_open());
    const CheckpointWorld::Lines found = world.merged();
    ASSERT_THAT(found, ::testing::AnyOf(before, after));
    const CheckpointWorld::Lines state = world.state();
    restart();
    ASSERT_EQ(world.state(), state);
    lose_power(Loss::kAll, 0);
    restart();
    ASSERT_TRUE(world.is_open());
    ASSERT_THAT(CheckpointWorld::difference(found, world.merged()),
                ::testing::IsEmpty());
  }
  // It goes on from there, and what was settled is on disk.
  void check_all() {
    check_recovery();
    if (::testing::Test::HasFatalFailure())
      return;
    if (is_end())
      must(world.end());
    else
      check_end();
    lose_power(Loss::kAll, 0);
    expect_after(world.merged());
    restart();
  }

 private:
  bool is_end() const { return act_ == Act::kEnd || act_ == Act::kWhole; }
  // That upper could show; an inode is another all the same.
  Status change_nothing(GuestFs& fs) {
    const auto mode = std::filesystem::status(world.path("lower/c"));
    OVL_TRY(fs.chmod("c", 0));
    return fs.chmod("c", static_cast<uint32_t>(mode.permissions()));
  }
  void go_on() {
    if (act_ == Act::kWhole)
      must(world.end());
    else
      checkpoint();
    if (act_ == Act::kResumed || act_ == Act::kWhole)
      restart();
    work(second_work);
  }

  PowerOs& os_;
  const Act act_;
  bool is_behind_sync_ = false;
};

}  // namespace ovl
