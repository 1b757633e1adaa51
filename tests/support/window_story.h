// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint, and a guest that goes on while it runs: before one of its
// durable operations, or of each from there on, the guest's next requests come,
// and are answered before the operation is done, unless they need what the
// checkpoint holds. All blocks that matter are read before each.
#pragma once

#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/carry_out.h"
#include "tests/support/checkpoint_story.h"
#include "tests/support/device_readers.h"
#include "tests/support/guest_history.h"
#include "tests/support/hooked_os.h"
#include "tests/support/power_os.h"
#include "tests/support/side_thread.h"
#include "tests/support/window_script.h"

namespace ovl {

class WindowStory : public CheckpointStory {
 public:
  enum class Script {
    kTouch,
    kOverwrite,
    kReplace,
    kRename,
    kPlace,
    kFold,
    kRemount,
    kAll
  };
  enum class Pace { kAtOnce, kOneEach };
  // A new one has nothing open that a checkpoint changes.
  enum class Server { kSame, kNew };
  struct Kind {
    CheckpointWorld::Upper upper;
    Script script;
    Pace pace;
    Server server = Server::kSame;
  };

  /// `power` is what `os` is around, if it can lose its power.
  WindowStory(HookedOs& os, const Kind& kind, PowerOs* power = nullptr)
      : CheckpointStory(os, kind.upper), os_(os), power_(power), kind_(kind) {
    world.config().size = SizeRequest{SizeRequest::Kind::kTotal, 8 << 20};
    make_wide();
    if (power_ != nullptr)
      watch_power();
    begin();
    mount();
    must(before_window(*guest_));
    finish_requests();
    checkpoint();
    before = world.merged();
    must(into_window(*guest_));
    guest_->flush();
    finish_requests();
    after = world.shown(guest_->memory());
    prepare();
  }

  struct Counts {
    uint64_t operations = 0;  // of the checkpoint
    uint64_t step = 0;        // of all, when the guest went on
    uint64_t all = 0;
  };
  /// The checkpoint, the guest's step in it, and a kill at an operation of
  /// either; the guest does the rest afterwards. Says whether all was done.
  bool run(uint64_t step_at, uint64_t stop_at = UINT64_MAX) {
    prepare_run(step_at);
    os_.stop_at(stop_at);
    const auto done = checkpoint_watched();
    const bool was_stopped = os_.is_stopped();
    os_.reset();
    if (!was_stopped) {
      EXPECT_TRUE(done) << done.error().what();
      EXPECT_TRUE(done.value_or(false));
      must(guest_failure_);
      finish_requests();
    }
    check_device(history_.acknowledged());
    return !was_stopped;
  }
  /// The same, with a kill as soon as the guest's step was answered.
  bool run_until_answered(uint64_t step_at) {
    is_killed_then_ = true;
    return run(step_at);
  }
  /// The checkpoint's operations fail from one on, and the guest's do not.
  void run_failing(uint64_t step_at, uint64_t fail_from) {
    prepare_run(step_at);
    os_.fail_from(fail_from);
    EXPECT_FALSE(checkpoint_watched());
    os_.reset();
    check_device(history_.acknowledged());
  }
  Counts counts;

  /// After run_failing(). A sync of the log that failed is for ever, and the
  /// guest may have been told so.
  void check_error() {
    if (guest_failure_ && world.device().flush())
      go_on();
    else
      check_kill();
  }

  /// The guest and the server go on.
  void check_going_on() {
    check_upper();
    go_on();
  }

  /// A new server goes on where the killed one was, and so does the guest.
  void check_kill() {
    reopen(history_.acknowledged());
    if (::testing::Test::HasFailure())
      return;
    check_upper();
    const CheckpointWorld::Lines state = world.state();
    reopen(history_.acknowledged());
    EXPECT_EQ(world.state(), state);
    go_on();
  }

  /// The guest is gone, too, and the next one replays the journal.
  void check_power_loss(Loss loss, uint64_t seed) {
    lose_power(loss, seed);
    reopen(history_.flushed());
    if (::testing::Test::HasFailure())
      return;
    check_upper();
    lose_power(Loss::kAll, 0);
    reopen(history_.acknowledged());
    check_upper();
    after = world.shown(history_.committed(history_.acknowledged()));
    checkpoint();
    expect_after(world.merged());
    lose_power(Loss::kAll, 0);
    reopen(history_.acknowledged());
    expect_after(world.merged());
  }

 private:
  using Requests = JournaledGuest::Requests;

  void prepare_run(uint64_t step_at) {
    if (kind_.server == Server::kNew)
      open_anew();
    step_at_ = step_at;
    os_.reset();
  }
  Result<bool> checkpoint_watched() {
    os_.watch([this](uint64_t operation) { before_operation(operation); });
    auto done = world.device().checkpoint_now();
    os_.unwatch();
    side_.finish();
    EXPECT_EQ(readers_.finish(), "");
    counts.operations = os_.watched_count();
    counts.all = os_.count();
    return done;
  }

  // Blocks in a row, which only a layer has.
  void make_wide() {
    const bool is_upper = kind_.upper == CheckpointWorld::Upper::kFilled;
    std::ofstream(world.path(is_upper ? "upper/wide" : "lower/wide"))
        << std::string(kWideBlocks * kBlockSize, 'W');
  }
  void watch_power() {
    std::filesystem::create_directory(world.path("morgue"));
    power_->watch({world.path("upper"), world.path("work")},
                  world.path("morgue"));
  }
  void mount() {
    auto guest = JournaledGuest::mount(DeviceSource(world.device()));
    ASSERT_TRUE(guest) << guest.error().what();
    guest_ = std::move(*guest);
    history_.begin(guest_->disk().bytes(), guest_->memory());
  }

  void prepare() {
    check_device(history_.acknowledged());
    history_.begin(guest_->disk().bytes(), guest_->memory());
    requests_.clear();
    next_ = 0;
    must(write_script());
    guest_->flush();
    take_requests();
    if (kind_.script == Script::kFold)
      full_at_ = {0, 3, last_write()};
  }
  Status write_script() {
    const Script script = kind_.script;
    const bool is_all = script == Script::kAll;
    if (script == Script::kTouch)
      OVL_TRY(guest_->work(touch));
    if (script == Script::kOverwrite || is_all)
      OVL_TRY(overwrite_in_window(*guest_));
    if (script == Script::kPlace || script == Script::kFold || is_all)
      OVL_TRY(place_in_window(*guest_));
    if (is_all)
      guest_->flush();
    if (script == Script::kReplace || script == Script::kFold || is_all)
      OVL_TRY(replace_in_window(*guest_));
    if (script == Script::kRemount)
      OVL_TRY(remount_in_window(*guest_));
    return script == Script::kRename ? rename_in_window(*guest_) : Status();
  }

  size_t last_write() const {
    size_t at = requests_.size() - 1;
    while (requests_[at].kind != GuestRequest::Kind::kWrite)
      --at;
    return at;
  }

  void take_requests() {
    for (GuestRequest& request : guest_->take_requests()) {
      for (uint64_t at = 0; at < request.bytes.size(); at += kBlockSize)
        readers_.add((request.offset + at) / kBlockSize);
      requests_.push_back(std::move(request));
    }
  }
  // A guest that was told of no error asks no more.
  void finish_requests() {
    take_requests();
    while (guest_failure_ && next_ < requests_.size())
      ask();
    must(guest_failure_);
  }
  void ask() {
    const GuestRequest& request = requests_[next_];
    if (os_.is_watching() && full_at_.contains(next_))
      os_.fill_up();
    history_.ask(next_, request);
    guest_failure_ = carry_out(world.device(), request);
    if (!guest_failure_)
      return;
    history_.acknowledge(request);
    ++next_;
  }

  void before_operation(uint64_t operation) {
    if (operation == step_at_)
      counts.step = os_.count();
    if (operation >= step_at_ && !os_.is_stopped())
      side_.give([this] {
        do {
          if (!guest_failure_ || next_ == requests_.size())
            return;
          ask();
        } while (kind_.pace == Pace::kAtOnce);
      });
    side_.settle();
    if (operation == step_at_ && is_killed_then_)
      os_.stop_at(os_.count());
    if (operation >= step_at_ && !os_.is_stopped())
      readers_.look(world.device());
  }

  void lose_power(Loss loss, uint64_t seed) {
    world.kill();
    os_.reset();
    power_->cut(loss, seed);
  }

  void open_anew() {
    world.kill();
    must(world.open());
  }
  // The device is as it was after at least so many of the guest's steps, which
  // are all that there are from now on.
  void reopen(uint64_t least) {
    open_anew();
    if (!world.is_open())
      return;
    if (const auto steps = check_device(least)) {
      next_ = history_.request_at(*steps, next_);
      history_.cut(*steps);
      guest_failure_ = {};
    }
  }
  std::optional<uint64_t> check_device(uint64_t least) {
    std::vector<std::byte> bytes(world.device().size());
    must(world.device().read(0, bytes));
    const auto steps = history_.find(bytes, least);
    EXPECT_TRUE(steps) << "the device is as it never was";
    return steps;
  }

  // Upper is a committed state, and not of the future.
  void check_upper() {
    const CheckpointWorld::Lines found = world.merged();
    if (found == before || found == after)
      return;
    EXPECT_TRUE(history_.visit_committed([&](const JournalDevice& state) {
      return world.shown(state) == found;
    })) << "upper is as it never was";
  }

  void go_on() {
    finish_requests();
    check_device(history_.acknowledged());
    after = world.shown(guest_->memory());
    checkpoint();
    expect_after(world.merged());
    must(guest_->work(close_held));
    after = world.shown(guest_->memory());
    guest_->unmount();
    finish_requests();
    check_device(history_.acknowledged());
    check_end();
  }

  HookedOs& os_;
  PowerOs* const power_;
  const Kind kind_;
  std::unique_ptr<JournaledGuest> guest_;
  GuestHistory history_;
  Requests requests_;
  std::set<size_t> full_at_;  // requests that find the host's disk full
  size_t next_ = 0;
  Status guest_failure_;  // of the one that failed
  uint64_t step_at_ = 0;
  bool is_killed_then_ = false;

  DeviceReaders readers_{history_};
  SideThread side_;
};

}  // namespace ovl
