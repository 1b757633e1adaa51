// SPDX-License-Identifier: BSD-3-Clause
#include "images/geometry.h"

#include <gtest/gtest.h>

namespace ovl {
namespace {

TEST(Geometry, PositionsAreTheDataBlocksInOrder) {
  for (const uint32_t groups : {1U, 2U, 3U, 10U, 26U, 130U}) {
    Shape shape{0, groups, 8192};
    shape.blocks = (groups - 1) * Shape::kBlocksPerGroup +
                   shape.metadata_of(groups - 1) + 77;
    const Geometry geometry(shape.blocks + 5, shape);
    uint32_t position = 0;
    for (uint32_t block = 0; block < shape.blocks; ++block) {
      const Place place = geometry.locate(BlockNo{block});
      if (place.region != Region::kData)
        continue;
      ASSERT_EQ(place.index, position);
      ASSERT_EQ(to_int(geometry.block_at(position)), block);
      ASSERT_EQ(geometry.contiguous_from(position), place.count);
      ASSERT_EQ(geometry.group_of(position), place.group);
      ++position;
    }
    EXPECT_EQ(position, geometry.data_blocks());
    EXPECT_EQ(geometry.locate(BlockNo{shape.blocks}).region, Region::kBeyond);
  }
}

TEST(Geometry, SuperblocksAreWhereSparseSuperHasThem) {
  std::vector<uint32_t> found;
  for (uint32_t group = 0; group < 400; ++group)
    if (has_superblock(group))
      found.push_back(group);
  EXPECT_EQ(found, (std::vector<uint32_t>{0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125,
                                          243, 343}));
}

}  // namespace
}  // namespace ovl
