// SPDX-License-Identifier: BSD-3-Clause
#include "images/image.h"

#include <gtest/gtest.h>

#include "tests/support/image_file.h"
#include "tests/support/tree_builder.h"

namespace ovl {
namespace {

std::unique_ptr<Image> build(const NodePool& pool, NodeId root,
                             const ImageOptions& options = {}) {
  auto image = Image::build({pool, root}, {pool, root}, options);
  EXPECT_TRUE(image.has_value()) << image.error().what();
  return std::move(*image);
}

void expect_clean(const NodePool& pool, const Image& image) {
  const ImageFile file(pool, image);
  const auto check = run_program("e2fsck -fn " + file.path());
  EXPECT_EQ(check.status, 0) << check.output;
}

TEST(Image, EmptyTreeIsClean) {
  NodePool pool;
  TreeBuilder make(pool);
  const auto image = build(pool, make.dir({}));
  expect_clean(pool, *image);
}

}  // namespace
}  // namespace ovl
