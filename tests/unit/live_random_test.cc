// SPDX-License-Identifier: BSD-3-Clause
//
// A guest works for a long time, with checkpoints between, on directories of
// the host. Behind each checkpoint the layers show what the guest has, and the
// live tree tells where in upper each object stands. Some are stopped at each
// of their operations, and go on from there.
//
// The layers are made in the same way, the upper of one session being the
// topmost lower of the next; so they have whiteouts, opaque directories and
// redirects of their own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>
#include <random>

#include "tests/support/live_world.h"
#include "tests/support/random_guest.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

struct Counts {
  size_t patched = 0;
  size_t moved = 0;
  size_t stopped = 0;
};

// One seed, in a directory of its own.
class Story {
 public:
  Story(const Way& way, uint64_t seed)
      : way_(way), random_(seed), layers_{temp_.dir("lowest")} {}

  Counts tell() {
    for (int layer = 0; layer < 3; ++layer) {
      layers_.insert(layers_.begin(), temp_.dir(std::to_string(layer)));
      work(2, 60);
    }
    work(10, 12);
    return counts_;
  }

 private:
  void work(int rounds, uint64_t max_edits) {
    LiveWorld session(way_, {layers_.begin() + 1, layers_.end()},
                      layers_.front(), temp_.dir("staging"), random_);
    RandomGuest guest(session.guest(), random_);
    for (int i = 0; i < rounds && !::testing::Test::HasFatalFailure(); ++i) {
      SCOPED_TRACE("layer " + layers_.front() + ", round " + std::to_string(i));
      for (uint64_t edits = random_() % max_edits; edits > 0; --edits)
        guest.edit();
      session.checkpoint(
          way_.redirect_dir[random_() % way_.redirect_dir.size()],
          random_() % 8 == 0);
    }
    counts_.patched += session.patched;
    counts_.moved += session.moved;
    counts_.stopped += session.stopped;
  }

  const Way& way_;
  TempDir temp_;
  std::mt19937_64 random_;
  Lines layers_;
  Counts counts_;
};

class LiveRandomTest : public ::testing::TestWithParam<Way> {};

TEST_P(LiveRandomTest, UpperFollowsTheGuest) {
  const Way& way = GetParam();
  if (way.privileged && ::geteuid() != 0)
    GTEST_SKIP() << "needs root: attributes in trusted.*, owners";
  const std::vector<uint64_t> seeds = random_seeds(10);
  Counts all;
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Counts counts = Story(way, seed).tell();
    ASSERT_FALSE(HasFailure());
    all.patched += counts.patched;
    all.moved += counts.moved;
    all.stopped += counts.stopped;
  }
  std::cout << all.patched << " files patched, " << all.moved
            << " directories moved, stopped " << all.stopped << " times\n";
  EXPECT_GT(all.patched, seeds.size());
  EXPECT_GT(all.moved, seeds.size());
  EXPECT_GT(all.stopped, seeds.size());
}

INSTANTIATE_TEST_SUITE_P(
    , LiveRandomTest,
    ::testing::Values(Way{"Unprivileged", false, {false}},
                      Way{"Redirects", true, {true}},
                      Way{"Copies", true, {false}},
                      Way{"Alternating", true, {true, false}}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace ovl
