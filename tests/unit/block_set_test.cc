// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/block_set.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <vector>

namespace ovl {
namespace {

std::vector<std::pair<uint64_t, uint64_t>> runs_of(const BlockSet& set) {
  std::vector<std::pair<uint64_t, uint64_t>> runs;
  const Status status = set.for_each_run([&runs](const BlockSet::Run& run) {
    runs.emplace_back(to_int(run.first), run.count);
    return Status();
  });
  EXPECT_TRUE(status.has_value());
  return runs;
}

TEST(BlockSet, ATrimOfAWholeDeviceIsOneRun) {
  BlockSet set;
  EXPECT_TRUE(set.add(BlockNo{7}, 1));
  EXPECT_FALSE(set.add(BlockNo{0}, uint64_t{1} << 32));
  EXPECT_EQ(runs_of(set).size(), 1U);
  EXPECT_TRUE(set.test(BlockNo{(uint64_t{1} << 32) - 1}));
  EXPECT_FALSE(set.test(BlockNo{uint64_t{1} << 32}));
}

TEST(BlockSet, RunsThatTouchAreOneAndWereNotInIt) {
  BlockSet set;
  EXPECT_TRUE(set.add(BlockNo{10}, 5));
  EXPECT_TRUE(set.add(BlockNo{15}, 5));
  EXPECT_TRUE(set.add(BlockNo{8}, 2));
  EXPECT_EQ(runs_of(set),
            (std::vector<std::pair<uint64_t, uint64_t>>{{8, 12}}));
  EXPECT_TRUE(set.add(BlockNo{100}, 0));
  EXPECT_EQ(runs_of(set).size(), 1U);
}

TEST(BlockSet, AgreesWithAnArray) {
  constexpr uint64_t kBlocks = 300;
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << std::endl;
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{3}, fresh}) {
    std::mt19937_64 random(seed);
    BlockSet set;
    std::vector<bool> model(kBlocks, false);
    for (int step = 0; step < 60; ++step) {
      const uint64_t first = random() % kBlocks;
      const uint64_t count =
          1 + random() % std::min<uint64_t>(12, kBlocks - first);
      bool is_new = true;
      for (uint64_t i = first; i < first + count; ++i) {
        is_new = is_new && !model[i];
        model[i] = true;
      }
      ASSERT_EQ(set.add(BlockNo{first}, count), is_new) << seed;
      for (uint64_t i = 0; i < kBlocks; ++i)
        ASSERT_EQ(set.test(BlockNo{i}), model[i]) << seed << ", block " << i;
    }
    uint64_t behind = 0;
    for (const auto& [first, count] : runs_of(set)) {
      ASSERT_TRUE(behind == 0 || first > behind) << seed;
      behind = first + count;
    }
  }
}

}  // namespace
}  // namespace ovl
