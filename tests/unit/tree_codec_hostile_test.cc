// SPDX-License-Identifier: BSD-3-Clause
//
// A file of trees that did not come out of a writer is refused, or harmless.
#include <algorithm>
#include <functional>
#include <iostream>
#include <random>

#include "tests/support/checked_bytes.h"
#include "tests/support/random_stack.h"
#include "tests/support/tree_codec_fixture.h"

namespace ovl {
namespace {

using ::testing::HasSubstr;

// Everything that a reader of the file may do with it.
void use(const PooledTrees& trees) {
  size_t bytes = 0;
  for (uint32_t id = 0; id < trees.pool.size(); ++id)
    bytes += lines_of(trees.pool, NodeId{id}).size();
  EXPECT_GT(bytes, 0U);
  const auto image = image_of(trees.pool, trees.lower_root, trees.merged_root);
  if (image == nullptr || image->size() > 64 << 20)
    return;
  std::vector<std::byte> block(kBlockSize);
  for (uint64_t at = 0; at < image->size(); at += kBlockSize)
    if (image->resolve(at, kBlockSize).kind == Segment::Kind::kMetadata)
      image->read_metadata(at, block);
}

class TreeCodecFuzz : public TreeCodec {
 protected:
  std::string small_file(uint64_t seed) {
    RandomStack stack(seed, 12);
    EXPECT_TRUE(stack.merge());
    EXPECT_TRUE(write(stack.part()));
    return read_whole(path());
  }

  // One to four fields or bytes.
  static std::string damage(std::string bytes, std::mt19937_64& random) {
    const auto below = [&](uint64_t limit) { return random() % limit; };
    const size_t content = bytes.size() - kStartBytes - kChecksumBytes;
    for (uint64_t i = below(4) + 1; i > 0; --i) {
      const size_t at = kStartBytes + below(content);
      const uint32_t values[] = {0, 1, UINT32_MAX,
                                 static_cast<uint32_t>(below(64)),
                                 static_cast<uint32_t>(random())};
      const uint32_t value = values[below(5)];
      if (below(2) == 0)
        bytes[at] = static_cast<char>(value);
      else
        std::memcpy(&bytes[at / 4 * 4], &value, sizeof value);
    }
    return resealed(std::move(bytes));
  }

  void run(uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const std::string good = small_file(seed);
    unsigned refused = 0;
    unsigned accepted = 0;
    for (int i = 0; i < 1500; ++i) {
      write_whole(path(), damage(good, random));
      const auto trees = read(RandomStack::kLayers);
      if (trees)
        use(*trees);
      else
        ASSERT_EQ(trees.error().code(), EUCLEAN) << trees.error().what();
      ++(trees ? accepted : refused);
    }
    EXPECT_GT(refused, 100U);
    EXPECT_GT(accepted, 100U);
  }
};

TEST_F(TreeCodecFuzz, DamageUnderAFittingChecksumIsRefusedOrHarmless) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << "\n";
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, fresh})
    run(seed);
}

// Each promise that read_trees makes, broken by hand.
class TreeCodecPromise : public TreeCodec {
 protected:
  TreeCodecPromise() {
    file_ = make_.with_xattrs(make_.file(5), {{"user.a", "1"}});
    other_ = make_.sparse_file(1 << 20, {{3, 2}, {9, 1}});
    fifo_ = make_.special(S_IFIFO);
    link_ = make_.symlink("target");
    low_ = make_.dir({{"file", file_}});
    sub_ = make_.dir({{"a", other_}, {"b", fifo_}});
    root_ = make_.dir({{"link", link_}, {"low", low_}, {"sub", sub_}});
  }

  std::string error_after_writing() {
    EXPECT_TRUE(write({pool_, pool_.size(), root_, root_}));
    const auto trees = read(1);
    return trees ? "none" : trees.error().what();
  }
  Node& node(NodeId id) { return pool_.mutable_node(id); }
  // Without the sorting of set_entries.
  void set_entries(NodeId directory, const std::vector<Entry>& entries) {
    const auto array = pool_.new_entries(entries.size());
    std::ranges::copy(entries, array.begin());
    node(directory).entries = array.data();
    node(directory).entry_count = static_cast<uint32_t>(array.size());
  }
  StrRef text(const std::string& bytes) { return pool_.strings.add(bytes); }

  NodePool pool_;
  TreeBuilder make_{pool_};
  NodeId file_, other_, fifo_, link_, low_, sub_, root_;
};

TEST_F(TreeCodecPromise, KeptTheyAreRead) {
  EXPECT_EQ(error_after_writing(), "none");
}

TEST_F(TreeCodecPromise, ADirectoryIsNotBeneathItself) {
  // Out of both trees, so that no walk from a root meets it.
  const NodeId hidden = make_.dir({});
  set_entries(hidden, {{text("x"), make_.dir({{"y", hidden}})}});
  EXPECT_THAT(error_after_writing(), HasSubstr("beneath itself"));
}

TEST_F(TreeCodecPromise, ADirectoryIsNotItself) {
  set_entries(sub_, {{text("x"), sub_}});
  EXPECT_THAT(error_after_writing(), HasSubstr("beneath itself"));
}

TEST_F(TreeCodecPromise, ADirectoryHasOneName) {
  set_entries(sub_, {{text("x"), low_}});
  EXPECT_THAT(error_after_writing(), HasSubstr("with two names"));
}

TEST_F(TreeCodecPromise, ARootIsADirectory) {
  root_ = file_;
  EXPECT_THAT(error_after_writing(), HasSubstr("not a directory"));
}

TEST_F(TreeCodecPromise, ARootIsANode) {
  root_ = NodeId{pool_.size()};
  EXPECT_THAT(error_after_writing(), HasSubstr("roots"));
}

TEST_F(TreeCodecPromise, APathOnTheHostEnds) {
  node(low_).host_dir = root_;
  node(low_).host_name = text("low");
  EXPECT_THAT(error_after_writing(), HasSubstr("its directory"));
}

TEST_F(TreeCodecPromise, APathOnTheHostLeadsThroughDirectories) {
  node(low_).host_dir = file_;
  node(low_).host_name = text("low");
  EXPECT_THAT(error_after_writing(), HasSubstr("its directory"));
}

TEST_F(TreeCodecPromise, LowerPartsEnd) {
  node(low_).lower = low_;
  EXPECT_THAT(error_after_writing(), HasSubstr("its lower part"));
}

TEST_F(TreeCodecPromise, TheBytesAreOfAFile) {
  node(file_).source = low_;
  EXPECT_THAT(error_after_writing(), HasSubstr("with its bytes"));
}

TEST_F(TreeCodecPromise, TheBytesAreOfAFileThatHasThem) {
  node(file_).source = other_;
  node(other_).source = file_;
  EXPECT_THAT(error_after_writing(), HasSubstr("with its bytes"));
}

TEST_F(TreeCodecPromise, NamesAreSorted) {
  set_entries(sub_, {{text("b"), other_}, {text("a"), fifo_}});
  EXPECT_THAT(error_after_writing(), HasSubstr("name of an entry"));
}

TEST_F(TreeCodecPromise, NamesDiffer) {
  set_entries(sub_, {{text("a"), other_}, {text("a"), fifo_}});
  EXPECT_THAT(error_after_writing(), HasSubstr("name of an entry"));
}

TEST_F(TreeCodecPromise, NamesAreNames) {
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"),
        std::string("a\0b", 3)}) {
    set_entries(sub_, {{text(bad), other_}});
    EXPECT_THAT(error_after_writing(), HasSubstr("name of an entry"));
  }
}

TEST_F(TreeCodecPromise, EntriesAreOfNodesAndStrings) {
  set_entries(sub_, {{text("a"), NodeId{pool_.size()}}});
  EXPECT_THAT(error_after_writing(), HasSubstr("an entry"));
  set_entries(sub_, {{StrRef{static_cast<uint32_t>(text("a")) + 1}, file_}});
  EXPECT_THAT(error_after_writing(), HasSubstr("an entry"));
}

TEST_F(TreeCodecPromise, FieldsOfANodeAreInRange) {
  const std::vector<std::pair<const char*, std::function<void(Node&)>>> bad{
      {"type", [](Node& n) { n.mode = 0644; }},
      {"layer", [](Node& n) { n.layer = 1; }},
      {"mark", [](Node& n) { n.marks = 16; }},
      {"flag", [](Node& n) { n.flags = 4; }},
      {"attributes", [](Node& n) { n.xattrs = XattrsId{2}; }},
      {"holes", [](Node& n) { n.holes = HoleMapId{2}; }},
      {"source", [](Node& n) { n.source = NodeId{99}; }},
      {"directory", [](Node& n) { n.host_dir = NodeId{99}; }},
      {"name at a root", [](Node& n) { n.host_name = StrRef{1}; }},
      {"redirect", [](Node& n) { n.redirect = StrRef{1}; }},
      {"redirect to nowhere", [](Node& n) {
         n.has_redirect = true;
         n.redirect = StrRef{1};
       }}};
  for (const auto& [what, change] : bad) {
    SCOPED_TRACE(what);
    const Node before = node(file_);
    change(node(file_));
    EXPECT_THAT(error_after_writing(), HasSubstr("node 0"));
    node(file_) = before;
  }
}

TEST_F(TreeCodecPromise, WhatIsOfOneTypeIsOfNoOther) {
  node(fifo_).size = 1;
  EXPECT_THAT(error_after_writing(), HasSubstr("node 2"));
  node(fifo_).size = 0;
  node(fifo_).source = file_;
  EXPECT_THAT(error_after_writing(), HasSubstr("node 2"));
  node(fifo_).source = kNoNode;
  node(link_).target = StrRef{1};
  EXPECT_THAT(error_after_writing(), HasSubstr("node 3"));
}

TEST_F(TreeCodecPromise, AStringStaysInItsChunk) {
  NodePool pool;
  TreeBuilder make(pool);
  const NodeId root = make.dir({});
  const std::string bytes("\1\0x\3\0yy", 7);
  std::ranges::copy(bytes, pool.strings.add_chunk(7).begin());
  ASSERT_TRUE(write({pool, 1, root, root}));
  const auto trees = read(1);
  ASSERT_FALSE(trees);
  EXPECT_THAT(trees.error().what(), HasSubstr("beyond its chunk"));
}

TEST_F(TreeCodecPromise, AttributesAreSortedAndNamed) {
  for (const XattrSet& bad :
       {XattrSet{{"user.b", ""}, {"user.a", ""}},
        XattrSet{{"user.a", "1"}, {"user.a", "2"}}, XattrSet{{"", "1"}},
        XattrSet{{std::string("user.\0a", 7), "1"}},
        XattrSet{{"user." + std::string(251, 'a'), "1"}},
        XattrSet{{"user.a", std::string(65537, 'v')}}}) {
    NodePool pool;
    TreeBuilder make(pool);
    const NodeId root = make.with_xattrs(make.dir({}), bad);
    ASSERT_TRUE(write({pool, 1, root, root}));
    const auto trees = read(1);
    ASSERT_FALSE(trees);
    EXPECT_THAT(trees.error().what(), HasSubstr("an attribute"));
  }
}

TEST_F(TreeCodecPromise, HoleMapsAreInOrder) {
  for (const std::vector<DataRun>& bad :
       {std::vector<DataRun>{{3, 0}}, std::vector<DataRun>{{3, 2}, {5, 1}},
        std::vector<DataRun>{{9, 1}, {3, 2}},
        std::vector<DataRun>{{UINT32_MAX, 1}}}) {
    NodePool pool;
    TreeBuilder make(pool);
    const NodeId root = make.dir({{"f", make.sparse_file(1 << 20, bad)}});
    ASSERT_TRUE(write({pool, pool.size(), root, root}));
    const auto trees = read(1);
    ASSERT_FALSE(trees);
    EXPECT_THAT(trees.error().what(), HasSubstr("a hole map"));
  }
}

}  // namespace
}  // namespace ovl
