// SPDX-License-Identifier: BSD-3-Clause
//
// What the tests of images share: trees made by hand, images of them, and the
// oracles.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "images/image.h"
#include "tests/support/ext2_oracle.h"
#include "tests/support/image_file.h"
#include "tests/support/tree_builder.h"

namespace ovl {

inline constexpr uint64_t kMiB = 1 << 20;
inline constexpr uint64_t kGiB = 1 << 30;
inline constexpr uint64_t kTiB = kGiB << 10;

inline ImageOptions total(uint64_t bytes) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kTotal, bytes};
  return options;
}
inline ImageOptions ext4(ImageOptions options = {}) {
  options.type = FsType::kExt4;
  return options;
}
inline ImageOptions with_free(uint64_t bytes) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kFreeSpace, bytes};
  return options;
}

class ImageTest : public testing::Test {
 protected:
  std::unique_ptr<Image> build(NodeId lower, NodeId merged,
                               const ImageOptions& options = {}) {
    auto image = Image::build({pool_, lower}, {pool_, merged}, options);
    if (!image.has_value()) {
      ADD_FAILURE() << image.error().what();
      return nullptr;
    }
    return std::move(*image);
  }
  std::unique_ptr<Image> build(NodeId root, const ImageOptions& options = {}) {
    return build(root, root, options);
  }

  // Clean for e2fsck, and the tree that it was made from. Of content, the
  // first, middle and last block of each data run are compared.
  void expect_good(const Image& image, NodeId root) {
    const ImageFile file(pool_, image);
    const auto check = run_program("e2fsck -fn " + file.path());
    EXPECT_EQ(check.status, 0) << check.output;
    EXPECT_EQ(check.output.find("Optimize"), std::string::npos);
    const Ext2Oracle oracle(pool_, root, image, file.path());
    EXPECT_THAT(oracle.differences(), testing::IsEmpty());
  }
  // An image of each type.
  void build_and_check(NodeId root, ImageOptions options = {}) {
    for (const FsType type : {FsType::kExt2, FsType::kExt4}) {
      options.type = type;
      const auto image = build(root, options);
      ASSERT_NE(image, nullptr);
      expect_good(*image, root);
    }
  }

  Error error_of(NodeId root, const ImageOptions& options = {}) {
    const auto image = Image::build({pool_, root}, {pool_, root}, options);
    return image ? Error(0, "no error") : image.error();
  }

  // Everything of `image` but what made_byte gives.
  std::vector<std::byte> bytes_of(const Image& image, uint64_t first,
                                  uint64_t length) {
    return image_bytes(pool_, image, first, length);
  }

  NodeId many_files(uint32_t count) {
    TreeBuilder::Names names;
    for (uint32_t i = 0; i < count; ++i)
      names.emplace_back(fmt::format("file-number-{}", i), make_.file(0));
    return make_.dir(names);
  }

  NodePool pool_;
  TreeBuilder make_{pool_};
};

}  // namespace ovl
