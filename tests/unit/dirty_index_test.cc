// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/dirty_index.h"

#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <random>

namespace ovl {
namespace {

using Kind = DirtyIndex::Kind;

constexpr uint64_t kDevice = 4096;

using Model = std::map<uint64_t, std::pair<Kind, uint32_t>>;

void expect_same(const DirtyIndex& index, const Model& model) {
  for (uint64_t block = 0; block < kDevice;) {
    const auto run = index.find(BlockNo{block}, kDevice - block);
    ASSERT_GT(run.count, 0U);
    for (uint64_t n = 0; n < run.count; ++n) {
      const auto at = model.find(block + n);
      const auto expected =
          at == model.end() ? std::pair(Kind::kNone, 0U) : at->second;
      ASSERT_EQ(run.kind, expected.first) << block + n;
      const uint64_t found =
          run.kind == Kind::kData ? to_int(run.place) + n : 0;
      ASSERT_EQ(found, expected.second) << block + n;
    }
    block += run.count;
  }
}

// Looked at all the time: what is wrong may be overwritten soon.
TEST(DirtyIndex, AgreesWithAMap) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << std::endl;
  for (const uint64_t seed : {uint64_t{3}, fresh}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    DirtyIndex index(kDevice);
    Model model;
    uint32_t place = 1;
    for (int i = 0; i < 1000; ++i) {
      const uint64_t first = random() % kDevice;
      const uint64_t most = random() % 10 == 0 ? 600 : 9;
      const uint64_t count = std::min(1 + random() % most, kDevice - first);
      const auto blocks = static_cast<uint32_t>(count);
      const uint64_t dice = random() % 3;
      const auto in_model = model.lower_bound(first);
      const bool is_untouched =
          in_model == model.end() || in_model->first >= first + count;
      const auto kind = dice == 0                   ? Kind::kZeros
                        : dice == 1 && is_untouched ? Kind::kHome
                                                    : Kind::kData;
      if (kind == Kind::kZeros)
        index.insert_zeros(BlockNo{first}, count, LogPlace{place});
      else if (kind == Kind::kHome)
        index.insert_home(BlockNo{first}, blocks);
      else
        index.insert_data(BlockNo{first}, blocks, LogPlace{place});
      for (uint32_t n = 0; n < blocks; ++n)
        model[first + n] = {kind, kind == Kind::kData ? place + n : 0};
      place += kind == Kind::kData ? blocks : 0;
      ASSERT_NO_FATAL_FAILURE(expect_same(index, model)) << "step " << i;
    }
  }
}

// Neither a placed record nor one of zeros takes room in the log, so all three
// may have one place.
TEST(DirtyIndex, OfWhatHasOnePlaceTheLaterCounts) {
  DirtyIndex index(kDevice);
  index.insert_home(BlockNo{10}, 100);
  index.insert_zeros(BlockNo{10}, 100, LogPlace{7});
  EXPECT_EQ(index.find(BlockNo{50}, 1).kind, Kind::kZeros);
  index.insert_data(BlockNo{20}, 3, LogPlace{7});
  EXPECT_EQ(index.find(BlockNo{21}, 1).kind, Kind::kData);
  EXPECT_EQ(index.find(BlockNo{23}, 1).kind, Kind::kZeros);
}

TEST(DirtyIndex, ItemsAreWhatFindSays) {
  DirtyIndex index(kDevice);
  index.insert_data(BlockNo{5}, 10, LogPlace{20});
  index.insert_home(BlockNo{98}, 4);
  index.insert_zeros(BlockNo{0}, 100, LogPlace{30});
  index.insert_data(BlockNo{7}, 2, LogPlace{30});
  index.insert_zeros(BlockNo{200}, 3, LogPlace{32});
  std::map<uint64_t, Kind> items;
  for (uint32_t shard = 0; shard < DirtyIndex::kShards; ++shard)
    for (const auto& item : index.items_of(shard))
      items[to_int(item.block)] = item.kind;
  const std::map<uint64_t, Kind> expected{
      {7, Kind::kData},   {8, Kind::kData},    {100, Kind::kHome},
      {101, Kind::kHome}, {200, Kind::kZeros}, {201, Kind::kZeros},
      {202, Kind::kZeros}};
  EXPECT_EQ(items, expected);
  ASSERT_EQ(index.large_zeros().size(), 1U);
}

TEST(DirtyIndex, AtMostSixteenBytesABlockAtEverySize) {
  constexpr uint64_t kLarge = uint64_t{1} << 28;
  std::mt19937_64 random(1);
  for (const bool sequential : {true, false}) {
    DirtyIndex index(kLarge);
    const uint64_t fixed = index.memory_bytes();
    for (uint32_t i = 0; i < 300'000; ++i) {
      const uint64_t block = sequential ? i : random() % kLarge;
      index.insert_data(BlockNo{block}, 1, LogPlace{i});
      if (i % 997 != 0 || index.blocks_in() < 20'000)
        continue;
      ASSERT_LE(index.memory_bytes() - fixed, 16 * index.blocks_in());
    }
  }
}

TEST(DirtyIndex, ZerosOfHundredGibibytesAreOneExtent) {
  constexpr uint64_t kBlocks = (uint64_t{100} << 30) / kBlockSize;
  DirtyIndex index(kBlocks);
  const uint64_t before = index.memory_bytes();
  index.insert_zeros(BlockNo{0}, kBlocks, LogPlace{1});
  EXPECT_EQ(index.memory_bytes(), before);
  EXPECT_EQ(index.blocks_in(), 0U);
  EXPECT_EQ(index.large_zeros().size(), 1U);
  const auto run = index.find(BlockNo{0}, kBlocks);
  EXPECT_EQ(run.kind, Kind::kZeros);
  EXPECT_EQ(run.count, kBlocks);
}

}  // namespace
}  // namespace ovl
