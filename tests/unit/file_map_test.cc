// SPDX-License-Identifier: BSD-3-Clause
#include "images/file_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace ovl {
namespace {

constexpr uint32_t kDouble = 12 + 1024;
constexpr uint32_t kTriple = kDouble + 1024 * 1024;

// Follows the pointers from the inode as a file system driver does: file block
// -> block of the object, for every pointer that there is.
class Followed {
 public:
  explicit Followed(const FileMap& map) : map_(map) {
    for (const PointerRun& run : map.inode_pointers())
      for (uint32_t i = 0; i < run.count; ++i)
        follow_inode(run.entry + i, run.block + i);
  }

  std::map<uint64_t, uint32_t> data;
  std::set<uint32_t> seen;
  bool twice = false;

 private:
  void follow_inode(uint32_t entry, uint32_t block) {
    if (entry < 12)
      follow(block, 0, entry);
    else if (entry == 12)
      follow(block, 1, 12);
    else if (entry == 13)
      follow(block, 2, kDouble);
    else
      follow(block, 3, kTriple);
  }

  void follow(uint32_t block, int level, uint64_t first) {
    twice = twice || !seen.insert(block).second;
    if (level == 0) {
      data[first] = block;
      return;
    }
    const uint64_t each = uint64_t{1} << (10 * (level - 1));
    for (const PointerRun& run : map_.pointers(block))
      for (uint32_t i = 0; i < run.count; ++i)
        follow(run.block + i, level - 1, first + (run.entry + i) * each);
  }

  const FileMap& map_;
};

void expect_follows(const FileMap& map, const std::vector<DataRun>& runs) {
  const Followed followed(map);
  EXPECT_FALSE(followed.twice);
  EXPECT_EQ(followed.seen.size(), map.blocks());
  EXPECT_EQ(followed.data.size(), map.data_blocks());
  uint32_t index = 0;
  for (const DataRun& run : runs)
    for (uint32_t i = 0; i < run.blocks; ++i, ++index) {
      const uint32_t block = run.first_block + i;
      ASSERT_EQ(followed.data.at(block), map.indirect_blocks() + index);
      ASSERT_EQ(map.block_of(block), map.indirect_blocks() + index);
      const DataRun here = map.data_at(index);
      ASSERT_EQ(here.first_block, block);
      ASSERT_EQ(here.blocks, run.blocks - i);
    }
}

TEST(FileMap, DenseFileOfEveryLevelFollows) {
  for (const uint32_t blocks :
       {0U, 1U, 12U, 13U, 1035U, 1036U, 1037U, 2060U, 2061U, 100'000U,
        kTriple - 1, kTriple, kTriple + 1, kTriple + 1025U}) {
    const FileMap map = FileMap::dense(blocks);
    if (blocks == 0)
      expect_follows(map, {});
    else
      expect_follows(map, {{0, blocks}});
  }
}

TEST(FileMap, NoBlocksWithoutData) {
  EXPECT_EQ(FileMap(std::span<const RankedRun>()).blocks(), 0);
  EXPECT_FALSE(FileMap::dense(0).block_of(0).has_value());
  EXPECT_FALSE(FileMap::dense(5).block_of(5).has_value());
}

TEST(FileMap, RandomHolesFollow) {
  std::mt19937 engine(1);
  const auto random = [&engine] { return static_cast<uint32_t>(engine()); };
  for (int round = 0; round < 300; ++round) {
    std::vector<DataRun> runs;
    uint64_t at = 0;
    const uint32_t scale = 1U << (random() % 22);
    for (uint32_t n = random() % 60; n > 0; --n) {
      at += 1 + random() % scale;
      const uint32_t count = 1 + random() % (random() % 8 == 0 ? 3000 : 20);
      runs.push_back({static_cast<uint32_t>(at), count});
      at += count;
    }
    std::vector<RankedRun> ranked;
    rank_runs(runs, ranked);
    const FileMap map{std::span<const RankedRun>(ranked)};
    expect_follows(map, runs);
    for (const DataRun& run : runs) {
      EXPECT_FALSE(map.block_of(run.first_block - 1).has_value());
      EXPECT_FALSE(map.block_of(run.first_block + run.blocks).has_value());
    }
  }
}

}  // namespace
}  // namespace ovl
