// SPDX-License-Identifier: BSD-3-Clause
//
// Trees of layers go to a file and come back the same.
#include "fsengine/base/tree_codec.h"

#include <iostream>
#include <random>

#include "tests/support/image_file.h"
#include "tests/support/random_stack.h"
#include "tests/support/tree_codec_fixture.h"

namespace ovl {
namespace {

class TreeCodecStack : public TreeCodec {
 protected:
  void round_trip(uint64_t seed, unsigned objects) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomStack stack(seed, objects);
    const Status merged = stack.merge();
    ASSERT_TRUE(merged) << merged.error().what();
    const Status written = write(stack.part());
    ASSERT_TRUE(written) << written.error().what();
    const auto trees = read(RandomStack::kLayers);
    ASSERT_TRUE(trees) << trees.error().what();
    expect_same(stack, *trees);
  }

  static void expect_same(const RandomStack& stack, const PooledTrees& trees) {
    const NodePool& pool = stack.pool();
    ASSERT_EQ(trees.pool.size(), pool.size());
    EXPECT_EQ(trees.lower_root, stack.part().lower_root);
    EXPECT_EQ(trees.merged_root, stack.part().merged_root);
    EXPECT_EQ(trees.pool.xattrs.size(), pool.xattrs.size());
    EXPECT_EQ(trees.pool.hole_maps.size(), pool.hole_maps.size());
    for (uint32_t id = 0; id < pool.size(); ++id)
      ASSERT_EQ(lines_of(trees.pool, NodeId{id}), lines_of(pool, NodeId{id}));
    expect_same_images(stack.part(), trees);
  }

  static void expect_same_images(const PoolPart& part,
                                 const PooledTrees& trees) {
    const auto before = image_of(part.pool, part.lower_root, part.merged_root);
    const auto after =
        image_of(trees.pool, trees.lower_root, trees.merged_root);
    ASSERT_TRUE(before && after);
    EXPECT_EQ(after->fingerprint(), before->fingerprint());
    ASSERT_EQ(after->size(), before->size());
    const bool same = image_bytes(trees.pool, *after, 0, after->size()) ==
                      image_bytes(part.pool, *before, 0, before->size());
    EXPECT_TRUE(same);
  }
};

TEST_F(TreeCodecStack, RandomStacksComeBackWithTheSameIdsAndTheSameImage) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << "\n";
  for (uint64_t seed = 1; seed <= 8; ++seed)
    round_trip(seed, static_cast<unsigned>(seed * 20));
  round_trip(fresh, 300);
}

// More strings than a chunk of the pool has room for.
TEST_F(TreeCodec, ManyNamesComeBack) {
  NodePool pool;
  TreeBuilder make(pool);
  TreeBuilder::Names names;
  for (uint32_t i = 0; i < 20'000; ++i)
    names.emplace_back(std::string(101, 'n') + std::to_string(i),
                       make.symlink(std::to_string(i)));
  const NodeId root = make.dir(names);
  ASSERT_GT(pool.strings.chunk_count(), 2U);
  ASSERT_TRUE(write({pool, pool.size(), root, root}));
  const auto trees = read(1);
  ASSERT_TRUE(trees);
  for (uint32_t id = 0; id < pool.size(); ++id)
    ASSERT_EQ(lines_of(trees->pool, NodeId{id}), lines_of(pool, NodeId{id}));
}

// What is added later, as for the tree of a guest, finds its ids free.
TEST_F(TreeCodec, WhatIsReadCanBeAddedTo) {
  NodePool pool;
  TreeBuilder make(pool);
  const NodeId root = make.dir({{"f", make.file(1)}});
  ASSERT_TRUE(write({pool, pool.size(), root, root}));
  auto trees = read(1);
  ASSERT_TRUE(trees);
  const StrRef added = trees->pool.strings.add("later");
  EXPECT_EQ(trees->pool.strings.get(added), "later");
  EXPECT_EQ(trees->pool.name(trees->pool.entries(root)[0]), "f");
  EXPECT_EQ(trees->pool.xattrs.intern({{"user.a", "b"}}), XattrsId{1});
  EXPECT_EQ(to_int(trees->pool.add({})), 2U);
}

// Nodes behind the part are a guest's.
TEST_F(TreeCodec, NodesBehindThePartAreLeftOut) {
  NodePool pool;
  TreeBuilder make(pool);
  const NodeId root = make.dir({{"f", make.file(1)}});
  const uint32_t nodes = pool.size();
  make.file(7);
  ASSERT_TRUE(write({pool, nodes, root, root}));
  const auto trees = read(1);
  ASSERT_TRUE(trees);
  EXPECT_EQ(trees->pool.size(), nodes);
}

}  // namespace
}  // namespace ovl
