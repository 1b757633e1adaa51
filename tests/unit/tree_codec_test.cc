// SPDX-License-Identifier: BSD-3-Clause
//
// Trees of layers go to a file and come back the same; what does not come out
// of a writer is refused, or harmless.
#include "fsengine/base/tree_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "fsengine/base/checked_file.h"
#include "images/image.h"
#include "tests/support/checked_bytes.h"
#include "tests/support/image_file.h"
#include "tests/support/random_stack.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_builder.h"

namespace ovl {
namespace {

using ::testing::HasSubstr;

constexpr FileKind kKind{
    "trees", "trees.new", {'t', 'e', 's', 't', 't', 'r', 'e', 'e'}, 1};

class TreeCodec : public ::testing::Test {
 protected:
  Status write(const PoolPart& part) {
    CheckedWriter out =
        OVL_TRY(CheckedWriter::create(host_os(), fd_.get(), kKind));
    OVL_TRY(write_trees(out, part));
    return out.commit();
  }

  Result<PooledTrees> read(uint32_t layers) {
    CheckedReader in = OVL_TRY(CheckedReader::open(fd_.get(), kKind));
    auto trees = OVL_TRY(read_trees(in, layers));
    OVL_TRY(in.finish());
    return trees;
  }

  std::string path() const { return temp_.path(kKind.name); }

  TempDir temp_;
  Fd fd_ = open_dir(temp_.path());
};

std::vector<std::string> lines_of(const NodePool& pool, NodeId id) {
  const Node& node = pool[id];
  std::vector<std::string> lines{
      std::to_string(node.mode) + " " + std::to_string(node.size) + " " +
          std::to_string(node.mtime_sec) + " " +
          std::to_string(node.mtime_nsec) + " " + std::to_string(node.uid) +
          " " + std::to_string(node.gid) + " " + std::to_string(node.host_ino),
      std::to_string(node.layer) + " " + std::to_string(node.marks) + " " +
          std::to_string(node.flags) + " " +
          std::to_string(to_int(node.host_dir)) + " " +
          std::to_string(to_int(node.source)) + " " + host_path(pool, node)};
  if (node.has_redirect)
    lines.push_back("to " + std::string(pool.strings.get(node.redirect)));
  if (node.is_symlink())
    lines.push_back("-> " + std::string(pool.strings.get(node.target)));
  if (node.is_device())
    lines.push_back("device " + std::to_string(node.rdev.packed));
  if (node.is_dir())
    lines.push_back("over " + std::to_string(to_int(node.lower)));
  if (node.is_regular())
    for (const DataRun& run : data_runs(pool, node))
      lines.push_back("run " + std::to_string(run.first_block) + " " +
                      std::to_string(run.blocks));
  for (const Xattr& xattr : pool.xattrs.get(node.xattrs))
    lines.push_back(xattr.name + "=" + xattr.value);
  for (const Entry& entry : pool.entries(node))
    lines.push_back("has " + std::string(pool.name(entry)) + " " +
                    std::to_string(to_int(entry.node)));
  return lines;
}

std::unique_ptr<Image> image_of(const NodePool& pool, NodeId lower,
                                NodeId merged) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kFreeSpace, 1 << 16};
  options.journal = false;
  auto image = Image::build({pool, lower}, {pool, merged}, options);
  return image ? std::move(*image) : nullptr;
}

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

class TreeCodecFuzz : public TreeCodecStack {
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
