// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/image_fixture.h"

namespace ovl {
namespace {

class ImageSizeTest : public ImageTest {};

TEST_F(ImageSizeTest, EverySmallTotalIsCleanOrSaysWhatIsNeeded) {
  const NodeId root = make_.dir({{"f", make_.file(100'000)}});
  uint64_t needed = 0;
  for (uint64_t size = 0; size < 6 * kMiB; size += 300'000) {
    const auto image = Image::build({pool_, root}, {pool_, root}, total(size));
    if (image.has_value()) {
      expect_good(**image, root);
      continue;
    }
    EXPECT_EQ(image.error().code(), ENOSPC);
    std::sscanf(image.error().what().c_str(),
                "size: %*u bytes are too few, the tree needs %lu", &needed);
  }
  build_and_check(root, total(needed));
  EXPECT_EQ(error_of(root, total(needed - 1)).code(), ENOSPC);
}

TEST_F(ImageSizeTest, NeededSizeOfALargeTreeIsEnough) {
  const NodeId root =
      make_.dir({{"d", many_files(40000)}, {"f", make_.file(3 * kGiB)}});
  const Error error = error_of(root, total(2 * kGiB));
  uint64_t needed = 0;
  std::sscanf(error.what().c_str(),
              "size: %*u bytes are too few, the tree needs %lu", &needed);
  EXPECT_NE(build(root, total(needed)), nullptr);
  EXPECT_EQ(error_of(root, total(needed - 4096)).code(), ENOSPC);
}

TEST_F(ImageSizeTest, SizeAroundAGroupsEndIsClean) {
  const NodeId root = make_.dir({{"f", make_.file(100'000)}});
  for (const int64_t more : {-4096, 0, 4096, 100 * 4096, 2000 * 4096, 5000})
    for (const uint64_t groups : {1U, 3U, 4U}) {
      const uint64_t size = groups * 128 * kMiB + static_cast<uint64_t>(more);
      const auto image = build(root, total(size));
      EXPECT_EQ(image->size(), size / 4096 * 4096);
      expect_good(*image, root);
    }
}

uint64_t stated_free(const NodePool& pool, const Image& image) {
  const auto sb = image_bytes(pool, image, 1024, 1024);
  uint32_t blocks = 0;
  std::memcpy(&blocks, sb.data() + 12, sizeof blocks);
  return uint64_t{blocks} * kBlockSize;
}

TEST_F(ImageSizeTest, FreeSpaceIsAsRequested) {
  const NodeId root = make_.dir({{"f", make_.file(200 * kMiB)}});
  for (const uint64_t bytes : {uint64_t{0}, kMiB, 100 * kMiB, 300 * kMiB,
                               3 * kGiB + 1, 200 * kGiB, 2 * kTiB}) {
    const auto image = build(root, with_free(bytes));
    ASSERT_NE(image, nullptr);
    EXPECT_GE(stated_free(pool_, *image), bytes);
    EXPECT_LT(stated_free(pool_, *image), bytes + 16 * kMiB);
  }
}

TEST_F(ImageSizeTest, TooLargeAFileSystemIsRefused) {
  const NodeId root = make_.dir({});
  EXPECT_EQ(error_of(root, total(17 * kTiB)).code(), EFBIG);
  EXPECT_EQ(error_of(root, with_free(17 * kTiB)).code(), EFBIG);
  EXPECT_EQ(error_of(root, with_free(UINT64_MAX)).code(), EFBIG);
}

TEST_F(ImageSizeTest, DeviceWithManyDescriptorBlocksIsClean) {
  build_and_check(make_.dir({{"f", make_.file(1)}}), total(40 * kGiB));
}

TEST_F(ImageSizeTest, LargestDeviceIsResolved) {
  const uint64_t size = (uint64_t{UINT32_MAX}) * kBlockSize;
  const auto image = build(make_.dir({{"f", make_.file(1)}}), total(size));
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->size(), size);
  EXPECT_EQ(image->resolve(size - 4096, 4096).kind, Segment::Kind::kZero);
}

}  // namespace
}  // namespace ovl
