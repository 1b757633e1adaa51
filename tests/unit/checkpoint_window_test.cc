// SPDX-License-Identifier: BSD-3-Clause
//
// A guest goes on while a checkpoint runs: before each of its durable
// operations the guest's step comes, and all that it may see is read. What
// follows is nothing, a kill, or a loss of power, at each later operation of
// either.
//
// OVL_CRASH_STRIDE=N takes every Nth only: 1 is for a soak, of some minutes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/crash_stride.h"
#include "tests/support/host_layers.h"
#include "tests/support/window_story.h"

namespace ovl {
namespace {

using Upper = CheckpointWorld::Upper;
using Script = WindowStory::Script;
using Pace = WindowStory::Pace;
using Server = WindowStory::Server;
using Kind = WindowStory::Kind;

// Of threads there is the same to see in each story, and it takes seconds.
#ifdef __SANITIZE_THREAD__
constexpr uint64_t kSample = 5;
#else
constexpr uint64_t kSample = 1;
#endif

uint64_t stride() {
  return kSample * crash_stride(4);
}

// Syncs take time, and nothing else here.
class SyncFreeOs : public QuickOs {
 public:
  Status fdatasync(int) override { return {}; }
};

std::string name_of(const Kind& kind) {
  constexpr const char* kScripts[] = {"Touches",  "Overwrites", "Replaces",
                                      "Renames",  "Places",     "Folds",
                                      "Remounts", "DoesAll"};
  return std::string(kScripts[static_cast<int>(kind.script)]) +
         (kind.pace == Pace::kAtOnce ? "AtOnce" : "OneByOne") +
         (kind.upper == Upper::kEmpty ? "" : "OverUpper") +
         (kind.server == Server::kSame ? "" : "OfANewServer");
}

// Every operation is met by one of the kinds, and each kind by many, which are
// not the same ones.
uint64_t step_of(const Kind& kind) {
  return (kind.pace == Pace::kOneEach ? 1 : 7) * stride();
}
uint64_t first_of(const Kind& kind) {
  return 5 * static_cast<uint64_t>(kind.script) % step_of(kind);
}

class CheckpointWindow : public ::testing::TestWithParam<Kind> {};

TEST_P(CheckpointWindow, WhatComesMeanwhileIsThereAndComesNext) {
  SyncFreeOs host;
  HookedOs os(host);
  uint64_t operations = UINT64_MAX;
  for (uint64_t step = first_of(GetParam()); step < operations;
       step += step_of(GetParam())) {
    SCOPED_TRACE("the guest's step before operation " + std::to_string(step));
    WindowStory story(os, GetParam());
    ASSERT_TRUE(story.run(step));
    operations = story.counts.operations;
    if (step / step_of(GetParam()) % 2 == 0)
      story.check_going_on();
    else
      story.check_kill();
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Guest, CheckpointWindow,
    ::testing::Values(
        Kind{Upper::kEmpty, Script::kOverwrite, Pace::kAtOnce, Server::kNew},
        Kind{Upper::kEmpty, Script::kReplace, Pace::kAtOnce},
        Kind{Upper::kFilled, Script::kOverwrite, Pace::kAtOnce},
        Kind{Upper::kFilled, Script::kReplace, Pace::kAtOnce},
        Kind{Upper::kFilled, Script::kRename, Pace::kAtOnce},
        Kind{Upper::kFilled, Script::kPlace, Pace::kAtOnce},
        Kind{Upper::kFilled, Script::kFold, Pace::kAtOnce},
        Kind{Upper::kEmpty, Script::kRemount, Pace::kAtOnce},
        Kind{Upper::kFilled, Script::kRemount, Pace::kOneEach},
        Kind{Upper::kFilled, Script::kAll, Pace::kAtOnce, Server::kNew},
        Kind{Upper::kFilled, Script::kAll, Pace::kOneEach}),
    [](const auto& param) { return name_of(param.param); });

class CheckpointWindowKill : public CheckpointWindow {};

TEST_P(CheckpointWindowKill, AtOnceLeavesUpperACommittedState) {
  SyncFreeOs host;
  HookedOs os(host);
  bool was_stopped = true;
  for (uint64_t step = 0; was_stopped; step += 2 * stride()) {
    SCOPED_TRACE("the guest's step before operation " + std::to_string(step));
    WindowStory story(os, GetParam());
    was_stopped = !story.run_until_answered(step);
    story.check_kill();
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Guest, CheckpointWindowKill,
    ::testing::Values(Kind{Upper::kFilled, Script::kTouch, Pace::kAtOnce,
                           Server::kNew},
                      Kind{Upper::kFilled, Script::kOverwrite, Pace::kAtOnce}),
    [](const auto& param) { return name_of(param.param); });

class CheckpointWindowError : public CheckpointWindow {};

TEST_P(CheckpointWindowError, CostsNothing) {
  SyncFreeOs host;
  HookedOs os(host);
  uint64_t operations = UINT64_MAX;
  for (uint64_t step = 1; step < operations; step += 23 * stride()) {
    WindowStory whole(os, GetParam());
    ASSERT_TRUE(whole.run(step));
    operations = whole.counts.operations;
    for (uint64_t at = step % 11; at < operations; at += 11 * stride()) {
      SCOPED_TRACE("the guest's step before operation " + std::to_string(step) +
                   ", errors from " + std::to_string(at) + " on");
      WindowStory story(os, GetParam());
      story.run_failing(step, at);
      story.check_error();
      ASSERT_FALSE(HasFailure());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Guest, CheckpointWindowError,
    ::testing::Values(Kind{Upper::kEmpty, Script::kAll, Pace::kAtOnce},
                      Kind{Upper::kFilled, Script::kFold, Pace::kAtOnce},
                      Kind{Upper::kFilled, Script::kAll, Pace::kAtOnce,
                           Server::kNew},
                      Kind{Upper::kFilled, Script::kAll, Pace::kOneEach}),
    [](const auto& param) { return name_of(param.param); });

// Calls `stop` with some of the guest's steps, and for each with some of the
// operations behind it, of the checkpoint or of the guest.
template <typename Count, typename Stop>
void for_some_stops(const Kind& kind, uint64_t distance, Count count,
                    Stop stop) {
  constexpr uint64_t kStepDistance = 29;
  uint64_t operations = UINT64_MAX;
  for (uint64_t step = 3 + static_cast<uint64_t>(kind.script);
       step < operations; step += kStepDistance * stride()) {
    const WindowStory::Counts counts = count(step);
    operations = counts.operations;
    for (uint64_t at = counts.step + step % distance;
         at < counts.all + distance; at += distance * stride()) {
      SCOPED_TRACE("the guest's step before operation " + std::to_string(step) +
                   ", stopped at " + std::to_string(at) + " of all");
      stop(step, at);
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
}

class CheckpointWindowStops : public CheckpointWindow {};

TEST_P(CheckpointWindowStops, KilledWhatWasAcknowledgedIsThere) {
  SyncFreeOs host;
  HookedOs os(host);
  for_some_stops(
      GetParam(), 13,
      [&](uint64_t step) {
        WindowStory story(os, GetParam());
        story.run(step);
        return story.counts;
      },
      [&](uint64_t step, uint64_t at) {
        WindowStory story(os, GetParam());
        story.run(step, at);
        story.check_kill();
      });
}

TEST_P(CheckpointWindowStops, WithoutPowerWhatWasFlushedIsThere) {
  constexpr Loss kLosses[] = {Loss::kAll, Loss::kAnyOrder, Loss::kJournal,
                              Loss::kBytes};
  PowerOs host;
  HookedOs os(host);
  uint64_t seed = 0;
  for_some_stops(
      GetParam(), 17,
      [&](uint64_t step) {
        WindowStory story(os, GetParam(), &host);
        story.run(step);
        return story.counts;
      },
      [&](uint64_t step, uint64_t at) {
        WindowStory story(os, GetParam(), &host);
        story.run(step, at);
        const uint64_t number = seed++;
        story.check_power_loss(kLosses[number % std::size(kLosses)], number);
      });
}

INSTANTIATE_TEST_SUITE_P(
    Guest, CheckpointWindowStops,
    ::testing::Values(Kind{Upper::kEmpty, Script::kAll, Pace::kAtOnce},
                      Kind{Upper::kFilled, Script::kReplace, Pace::kAtOnce},
                      Kind{Upper::kFilled, Script::kFold, Pace::kAtOnce},
                      Kind{Upper::kFilled, Script::kRemount, Pace::kOneEach},
                      Kind{Upper::kFilled, Script::kAll, Pace::kAtOnce,
                           Server::kNew},
                      Kind{Upper::kFilled, Script::kAll, Pace::kOneEach}),
    [](const auto& param) { return name_of(param.param); });

}  // namespace
}  // namespace ovl
