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

TEST(DirtyIndex, AgreesWithAMap) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << std::endl;
  for (const uint64_t seed : {uint64_t{3}, fresh}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    DirtyIndex index(kDevice);
    std::map<uint64_t, std::pair<Kind, uint32_t>> model;
    uint32_t place = 1;
    for (int i = 0; i < 3000; ++i) {
      const uint64_t first = random() % kDevice;
      const uint64_t most = random() % 10 == 0 ? 600 : 9;
      const uint64_t count = std::min(1 + random() % most, kDevice - first);
      const uint64_t dice = random() % 3;
      const auto kind = dice == 0   ? Kind::kZeros
                        : dice == 1 ? Kind::kData
                                    : Kind::kHome;
      const auto blocks = static_cast<uint32_t>(count);
      if (kind == Kind::kZeros)
        index.insert_zeros(BlockNo{first}, count, LogPlace{place});
      else if (kind == Kind::kHome)
        index.insert_home(BlockNo{first}, blocks, LogPlace{place});
      else
        index.insert_data(BlockNo{first}, blocks, LogPlace{place});
      for (uint32_t n = 0; n < blocks; ++n)
        model[first + n] = {kind, kind == Kind::kData ? place + n : 0};
      place += kind == Kind::kData ? blocks : 0;
    }
    for (uint64_t block = 0; block < kDevice;) {
      const auto run = index.find(BlockNo{block}, kDevice - block);
      ASSERT_GT(run.count, 0U);
      for (uint64_t n = 0; n < run.count; ++n) {
        const auto at = model.find(block + n);
        const auto expected = at == model.end()
                                  ? std::pair(Kind::kNone, uint32_t{0})
                                  : at->second;
        ASSERT_EQ(run.kind, expected.first) << block + n;
        const uint64_t found =
            run.kind == Kind::kData ? to_int(run.place) + n : 0;
        ASSERT_EQ(found, expected.second) << block + n;
      }
      block += run.count;
    }
  }
}

TEST(DirtyIndex, ItemsAreWhatFindSays) {
  DirtyIndex index(kDevice);
  index.insert_data(BlockNo{5}, 10, LogPlace{20});
  index.insert_zeros(BlockNo{0}, 100, LogPlace{30});
  index.insert_home(BlockNo{7}, 2, LogPlace{30});
  index.insert_zeros(BlockNo{200}, 3, LogPlace{31});
  std::map<uint64_t, Kind> items;
  for (uint32_t shard = 0; shard < DirtyIndex::kShards; ++shard)
    for (const auto& item : index.items_of(shard))
      items[to_int(item.block)] = item.kind;
  const std::map<uint64_t, Kind> expected{{7, Kind::kHome},
                                          {8, Kind::kHome},
                                          {200, Kind::kZeros},
                                          {201, Kind::kZeros},
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
