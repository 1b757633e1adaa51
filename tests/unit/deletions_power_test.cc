// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest deleted goes ahead of what upper has no room for, and the host
// loses its power at any operation of that.
//
// OVL_CRASH_STRIDE=N takes every Nth operation only (the sanitizer builds).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/carry_out.h"
#include "tests/support/checkpoint_story.h"
#include "tests/support/crash_stride.h"
#include "tests/support/full_os.h"
#include "tests/support/power_os.h"
#include "tests/support/window_script.h"

namespace ovl {
namespace {

using ::testing::AnyOf;

Status make_file(GuestFs& fs, const std::string& path) {
  OVL_TRY(fs.make_node(path, S_IFREG | 0600));
  return fs.write(path, 0, story_bytes(std::string(9000, path.back())));
}

/// A journaled guest with a file in upper, and one that has no room there.
class PowerStory : public CheckpointStory {
 public:
  PowerStory(PowerOs& power, FullDisk<WrapOs>& os)
      : CheckpointStory(os), power_(power), os_(os) {
    os_.fill_up(false);
    std::filesystem::create_directory(world.path("morgue"));
    power_.watch({world.path("upper"), world.path("work")},
                 world.path("morgue"));
    begin();
    mount();
    work([](GuestFs& fs) { return make_file(fs, "precious"); });
    flush();
    checkpoint();
    before = world.merged();
    work([](GuestFs& fs) { return make_file(fs, "big"); });
    flush();
    os_.fill_up();
    power_.reset();
  }

  void remove_precious() {
    work([](GuestFs& fs) { return fs.unlink("precious"); });
  }
  void flush() {
    guest_->flush();
    ask();
  }
  /// From now on so many operations are done.
  void stop_behind(uint64_t operations) {
    power_.reset();
    power_.stop_at(operations);
  }
  void attempt() { EXPECT_FALSE(world.device().checkpoint_now()); }
  /// Upper is as it was, or without the file; the next checkpoint brings it
  /// what was flushed.
  void lose_power(Loss loss, uint64_t seed) {
    world.kill();
    power_.reset();
    power_.cut(loss, seed);
    os_.fill_up(false);
    must(world.open());
    auto without = before;
    std::erase_if(without, [](const std::string& line) {
      return line.starts_with("/precious ");
    });
    ASSERT_THAT(world.merged(), AnyOf(before, without));
    const auto done = world.device().checkpoint_now();
    ASSERT_TRUE(done) << done.error().what();
    EXPECT_TRUE(*done);
    EXPECT_EQ(in_upper("big"), std::string(9000, 'g'));
    EXPECT_THAT(in_upper("precious"), AnyOf("", std::string(9000, 's')));
  }

 private:
  std::string in_upper(const std::string& name) const {
    std::ifstream file(world.path("upper/" + name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void mount() {
    auto guest = JournaledGuest::mount(DeviceSource(world.device()));
    ASSERT_TRUE(guest) << guest.error().what();
    guest_ = std::move(*guest);
  }
  void work(const std::function<Status(GuestFs&)>& what) {
    must(guest_->work(what));
    ask();
  }
  void ask() {
    for (const GuestRequest& request : guest_->take_requests())
      must(carry_out(world.device(), request));
  }

  PowerOs& power_;
  FullDisk<WrapOs>& os_;
  std::unique_ptr<JournaledGuest> guest_;
};

class DeletionsPower : public ::testing::TestWithParam<Loss> {
 protected:
  // Calls `begin` with each story and where it is to be stopped.
  void sweep(const std::function<void(PowerStory&, uint64_t)>& begin) {
    PowerOs power;
    os_ = std::make_unique<FullDisk<WrapOs>>(power);
    bool was_stopped = true;
    for (uint64_t stop = crash_start(); was_stopped; stop += crash_stride()) {
      SCOPED_TRACE("stopped at " + std::to_string(stop));
      PowerStory story(power, *os_);
      begin(story, stop);
      story.attempt();
      was_stopped = power.count() > stop;
      story.lose_power(GetParam(), stop);
      ASSERT_FALSE(HasFailure());
    }
  }
  std::unique_ptr<FullDisk<WrapOs>> os_;
};

TEST_P(DeletionsPower, LostAnywhereUpperIsAsItWasOrWithoutThem) {
  sweep([](PowerStory& story, uint64_t stop) {
    story.remove_precious();
    story.flush();
    story.stop_behind(stop);
  });
}

// Not flushed: it may be undone, and then upper has to have the file.
TEST_P(DeletionsPower, OneThatCameMeanwhileIsNotAheadOfTheLog) {
  sweep([this](PowerStory& story, uint64_t stop) {
    os_->on_refusal = [&story, stop] {
      story.remove_precious();
      story.stop_behind(stop);
    };
  });
}

INSTANTIATE_TEST_SUITE_P(Host, DeletionsPower,
                         ::testing::Values(Loss::kAll, Loss::kAnyOrder),
                         [](const auto& loss) {
                           return loss.param == Loss::kAll
                                      ? std::string("All")
                                      : std::string("AnyOrder");
                         });

}  // namespace
}  // namespace ovl
