// SPDX-License-Identifier: BSD-3-Clause
#include "images/extent_levels.h"
#include "tests/support/image_fixture.h"

namespace ovl {
namespace {

using testing::HasSubstr;

class ImageExt4Test : public ImageTest {
 protected:
  static std::vector<DataRun> scattered(uint32_t count, uint32_t step) {
    std::vector<DataRun> runs;
    for (uint32_t i = 0; i < count; ++i)
      runs.push_back({i * step + 1, 1 + i % (step - 1)});
    return runs;
  }
  NodeId scattered_file(uint32_t count, uint32_t step) {
    return make_.sparse_file(uint64_t{count} * step * kBlockSize + 1,
                             scattered(count, step));
  }
  std::string debugfs(const Image& image, const std::string& command) {
    const ImageFile file(pool_, image);
    return run_program("debugfs -R '" + command + "' " + file.path()).output;
  }
};

TEST_F(ImageExt4Test, LevelsHaveRoomForAllExtents) {
  EXPECT_EQ(extent_levels(0).depth, 0U);
  EXPECT_EQ(extent_levels(4).depth, 0U);
  EXPECT_EQ(extent_levels(5).blocks(), 1U);
  EXPECT_EQ(extent_levels(4 * 340).blocks(), 4U);
  EXPECT_EQ(extent_levels(4 * 340 + 1).blocks(), 6U);
  EXPECT_EQ(extent_levels(uint64_t{1} << 31).depth, 4U);
  for (const uint64_t extents : {5U, 1361U, 462'401U, 3'000'000U}) {
    const ExtentLevels levels = extent_levels(extents);
    for (uint32_t level = 0; level + 1 < levels.depth; ++level)
      for (uint32_t number = 0; number < levels.nodes[level]; ++number)
        EXPECT_LE(levels.first_child(level, number + 1) -
                      levels.first_child(level, number),
                  kBlockExtents);
    EXPECT_GE(uint64_t{levels.leaves()} * kBlockExtents, extents);
  }
}

TEST_F(ImageExt4Test, ExtentTreesOfEveryDepthReadBack) {
  const NodeId root = make_.dir({
      {"none", make_.sparse_file(kMiB, {})},
      {"inode", scattered_file(4, 3)},
      {"block", scattered_file(5, 3)},
      {"full block", scattered_file(340, 3)},
      {"two blocks", scattered_file(341, 3)},
      {"four blocks", scattered_file(4 * 340, 2)},
      {"two levels", scattered_file(4 * 340 + 1, 2)},
      {"many", scattered_file(20'000, 3)},
  });
  build_and_check(root, ext4());
  EXPECT_THAT(debugfs(*build(root, ext4()), "extents \"/two levels\""),
              HasSubstr("2/ 2"));
}

TEST_F(ImageExt4Test, ExtentsEndWithTheirGroup) {
  const NodeId root = make_.dir({
      {"in three groups", make_.file(300 * kMiB)},
      {"runs over groups",
       make_.sparse_file(kTiB, {{7, 20'000}, {50'000, 1}, {60'000, 20'000}})},
      {"more than an inode may hold", make_.file((3 * 29693 + 2) * 4096)},
      {"more than an inode holds", make_.file(700 * kMiB)},
  });
  const auto image = build(root, ext4());
  expect_good(*image, root);
}

TEST_F(ImageExt4Test, FileBeyond2TiBReadsBack) {
  const uint64_t most = uint64_t{UINT32_MAX} * kBlockSize;
  const NodeId root = make_.dir({
      {"end", make_.sparse_file(most, {{UINT32_MAX - 1, 1}})},
      {"spread",
       make_.sparse_file(8 * kTiB, {{0, 1}, {1U << 29, 2}, {1U << 30, 3}})},
  });
  expect_good(*build(root, ext4()), root);
  const NodeId larger = make_.dir({{"f", make_.sparse_file(most + 1, {})}});
  const Error error = error_of(larger, ext4());
  EXPECT_EQ(error.code(), EFBIG);
  EXPECT_THAT(error.what(), HasSubstr("/f: "));
}

TEST_F(ImageExt4Test, MoreBlocksThan32BitsOfSectorsAreCounted) {
  const NodeId file = make_.file(3 * kTiB);
  const auto image = build(make_.dir({{"f", file}}), ext4());
  ASSERT_NE(image, nullptr);
  const auto inode = image->inode_bytes(image->ino_of(file));
  uint32_t low = 0;
  uint16_t high = 0;
  std::memcpy(&low, inode.data() + 28, sizeof low);
  std::memcpy(&high, inode.data() + 116, sizeof high);
  EXPECT_GT(high, 0U);
  const uint64_t blocks = (uint64_t{high} << 32 | low) / 8;
  EXPECT_GE(blocks, blocks_for(3 * kTiB));
  EXPECT_LT(blocks, blocks_for(3 * kTiB) + 1000);
}

TEST_F(ImageExt4Test, DirectoryOfMoreThan65000DirectoriesIsClean) {
  TreeBuilder::Names names;
  for (int i = 0; i < 65'010; ++i)
    names.emplace_back(std::to_string(i), make_.dir({}));
  const NodeId root = make_.dir({{"d", make_.dir(names)}});
  EXPECT_EQ(error_of(root).code(), EMLINK);
  const auto image = build(root, ext4());
  ASSERT_NE(image, nullptr);
  const ImageFile file(pool_, *image);
  const auto check = run_program("e2fsck -fn " + file.path());
  EXPECT_EQ(check.status, 0) << check.output;
}

TEST_F(ImageExt4Test, LowerPartIsTheSameUnderEveryUpper) {
  const NodeId shared = make_.file(500 * kMiB);
  const NodeId sparse = scattered_file(2000, 3);
  const NodeId gone = scattered_file(3000, 3);
  const NodeId lower =
      make_.dir({{"gone", gone}, {"s", shared}, {"sparse", sparse}});
  TreeBuilder::Names names{{"s", shared}, {"sparse", sparse}};
  for (int i = 0; i < 1000; ++i)
    names.emplace_back(fmt::format("u{}", i), make_.file(9000));
  const NodeId merged = make_.dir(names, lower);
  const auto one = build(lower, lower, ext4(total(kGiB)));
  const auto two = build(lower, merged, ext4(total(kGiB)));
  expect_good(*two, merged);
  for (const NodeId node : {shared, sparse}) {
    const auto was = one->blocks_of(node);
    const auto is = two->blocks_of(node);
    ASSERT_EQ(was.size(), is.size());
    for (size_t i = 0; i < is.size(); ++i)
      EXPECT_EQ(was[i].first, is[i].first);
  }
}

TEST_F(ImageExt4Test, TypesDifferInTheirFingerprint) {
  const NodeId root = make_.dir({{"f", make_.file(1)}});
  EXPECT_NE(build(root)->fingerprint(), build(root, ext4())->fingerprint());
}

TEST_F(ImageExt4Test, InodesNeverUsedNeedNotBeRead) {
  const auto image = build(make_.dir({}), ext4(with_free(kGiB)));
  const ImageFile file(pool_, *image);
  const auto stats = run_program("dumpe2fs " + file.path());
  EXPECT_THAT(stats.output, HasSubstr("INODE_UNINIT, ITABLE_ZEROED"));
  EXPECT_EQ(run_program("e2fsck -fn " + file.path()).status, 0);
}

}  // namespace
}  // namespace ovl
