// SPDX-License-Identifier: BSD-3-Clause
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <set>

#include "images/hashed_directory.h"
#include "tests/support/image_fixture.h"

namespace ovl {
namespace {

using testing::HasSubstr;

class ImageHtreeTest : public ImageTest {
 protected:
  // A directory "d" of empty files in a root that has nothing else.
  NodeId root_of(const std::vector<std::string>& names) {
    TreeBuilder::Names files;
    const NodeId file = make_.file(0);
    for (const std::string& name : names)
      files.emplace_back(name, files.size() < 64000 ? file : make_.file(0));
    return make_.dir({{"d", make_.dir(files)}});
  }

  std::string debugfs(const Image& image, const std::string& command) {
    const ImageFile file(pool_, image);
    return run_program("debugfs -R '" + command + "' " + file.path()).output;
  }

  static uint32_t hash_of(const std::string& name, const HashSeed& seed) {
    ext2_dirhash_t hash = 0;
    ext2fs_dirhash2(EXT2_HASH_HALF_MD4_UNSIGNED, name.data(),
                    static_cast<int>(name.size()), nullptr, 0, seed.data(),
                    &hash, nullptr);
    return hash;
  }
};

std::vector<std::string> numbered(uint32_t count, size_t length) {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < count; ++i) {
    std::string name = fmt::format("{:07}", i);
    name.resize(length, 'x');
    names.push_back(name);
  }
  return names;
}

TEST_F(ImageHtreeTest, SmallDirectoryHasNoIndex) {
  const auto image = build(root_of(numbered(1000, 20)));
  EXPECT_THAT(debugfs(*image, "htree_dump /d"),
              HasSubstr("Not a hash-indexed directory"));
}

TEST_F(ImageHtreeTest, IndexOfOneLevelReadsBack) {
  const NodeId root = root_of(numbered(2000, 24));
  const auto image = build(root);
  expect_good(*image, root);
  EXPECT_THAT(debugfs(*image, "htree_dump /d"),
              HasSubstr("Indirect levels: 0"));
}

TEST_F(ImageHtreeTest, IndexOfTwoLevelsReadsBack) {
  const NodeId root = root_of(numbered(30'000, 255));
  const auto image = build(root);
  expect_good(*image, root);
  EXPECT_THAT(debugfs(*image, "htree_dump /d"),
              HasSubstr("Indirect levels: 1"));
}

TEST_F(ImageHtreeTest, RootIsFullBeforeThereAreNodes) {
  // 12 names of 255 bytes are 3168 bytes: 11 to a leaf, 508 leaves to a root.
  build_and_check(root_of(numbered(11 * 508, 255)));
  build_and_check(root_of(numbered(11 * 508 + 1, 255)));
}

TEST_F(ImageHtreeTest, NamesOfAnyBytesReadBack) {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < 5000; ++i) {
    std::string name = fmt::format("{}", i);
    for (uint32_t byte = 0; byte < i % 200; ++byte)
      name.push_back(static_cast<char>(0x80 + (i * 7 + byte * 13) % 128));
    names.push_back(name);
  }
  build_and_check(root_of(names));
}

TEST_F(ImageHtreeTest, RootDirectoryHasAnIndex) {
  const NodeId root = many_files(3000);
  const auto image = build(root);
  expect_good(*image, root);
  EXPECT_THAT(debugfs(*image, "htree_dump /"), HasSubstr("Indirect levels: 0"));
}

TEST_F(ImageHtreeTest, LowerPartIsTheSameUnderEveryUpper) {
  const NodeId kept = many_files(3000);
  const NodeId lower = make_.dir({{"a", kept}, {"b", many_files(2000)}});
  const NodeId merged =
      make_.dir({{"a", kept}, {"b", many_files(2500)}}, lower);
  const auto one = build(lower, lower, total(64 * kMiB));
  const auto two = build(lower, merged, total(64 * kMiB));
  expect_good(*two, merged);
  for (const auto& run : two->blocks_of(kept))
    EXPECT_EQ(
        bytes_of(*one, to_int(run.first) * kBlockSize, run.count * kBlockSize),
        bytes_of(*two, to_int(run.first) * kBlockSize, run.count * kBlockSize));
}

// Two names of one hash, the first the last of its leaf: the kernel finds the
// second only where the index tells that the leaf goes on.
TEST_F(ImageHtreeTest, NamesOfOneHashMayBeInTwoLeaves) {
  constexpr size_t kNames = 300'000;
  constexpr size_t kPerLeaf = 3072 / 32;
  const NodeId root = root_of({});
  const HashSeed seed = hash_seed_of({pool_, root});
  std::vector<std::pair<uint32_t, std::string>> all;
  for (const std::string& name : numbered(kNames, 24))
    all.emplace_back(hash_of(name, seed), name);
  std::ranges::sort(all);
  const auto twin = std::adjacent_find(
      all.begin() + 2000, all.end() - 2000,
      [](const auto& a, const auto& b) { return a.first == b.first; });
  ASSERT_NE(twin, all.end() - 2000);
  std::vector<std::string> names;
  for (auto at = twin - (10 * kPerLeaf - 1); at < twin + 1000; ++at)
    names.push_back(at->second);
  const NodeId with_twins = root_of(names);
  ASSERT_EQ(hash_seed_of({pool_, with_twins}), seed);
  const auto image = build(with_twins);
  expect_good(*image, with_twins);
  EXPECT_THAT(debugfs(*image, "htree_dump /d"),
              HasSubstr(fmt::format("Hash 0x{:08x}", twin->first | 1)));
}

}  // namespace
}  // namespace ovl
