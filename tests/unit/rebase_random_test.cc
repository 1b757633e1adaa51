// SPDX-License-Identifier: BSD-3-Clause
//
// A guest works on one image for a long time, with write-backs between, on
// directories of the host. After each write-back the layers show what the
// guest has, one more would do nothing, what is told to be kept is kept, and
// no file was made again that nobody touched.
//
// The layers are made in the same way, the upper of one session being the
// topmost lower of the next; so they have whiteouts, opaque directories and
// redirects of their own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>
#include <random>
#include <set>

#include "fsengine/overlay/rebase.h"
#include "fsengine/overlay/upper_plan.h"
#include "tests/support/host_layers.h"
#include "tests/support/random_guest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_text.h"

namespace ovl {
namespace {

// One image, from its layout on.
class Session {
 public:
  Session(const Way& way, const Lines& lowers, const std::string& upper,
          const std::string& staging)
      : way_(way),
        lowers_(lowers),
        upper_(way, upper, staging),
        layers_(way, lowers),
        base_(layers_.read_upper(upper)),
        merged_(base_),
        guest_(layers_.pool(), base_,
               [this](NodeId id) { return layers_.content(id); }) {
    for (const NodeId object : upper_objects({layers_.pool(), base_})) {
      now_[object] = object;
      base_bytes_[object] = bytes(object);
    }
  }

  GuestModel& guest() { return guest_; }

  void write_back(bool redirect_dir) {
    const NodeId tree = guest_.tree();
    const auto rebased = rebase(tree, redirect_dir);
    ASSERT_TRUE(rebased) << rebased.error().what();
    check_is_of_merged(rebased->guest.root);
    const Status published =
        upper_.write(layers_, {merged_, rebased->guest.root, redirect_dir},
                     [this](NodeId id) { return content(id); });
    ASSERT_TRUE(published) << published.error().what();
    const NodeId before = merged_;
    merged_ = layers_.read_upper(upper_.path());
    check_shown(tree);
    check_untouched(before);
    follow(*rebased);
    check_nothing_left(redirect_dir);
  }

 private:
  ContentPtr content(NodeId id) {
    const Node& node = layers_.pool()[id];
    if (node.origin == Origin::kLayer)
      return layers_.content(id);
    return guest_.content(node.host_ino);
  }

  std::string bytes(NodeId id) {
    const Node& node = layers_.pool()[id];
    if (!node.is_regular())
      return "";
    std::string all(node.size, '?');
    EXPECT_TRUE((*layers_.content(id))
                    ->read(0, std::as_writable_bytes(std::span(all))));
    return all;
  }

  Result<Rebased> rebase(NodeId tree, bool redirect_dir) {
    return rebase_guest(
        {.pool = layers_.pool(),
         .merged = merged_,
         .guest = tree,
         .now = now_,
         .redirect_dir = redirect_dir,
         .owner = way_.owner(),
         .content = [this](NodeId id) { return content(id); },
         .guest_ino = [this](NodeId id) { return guest_.number_of(id); }});
  }

  void check_shown(NodeId tree) {
    Layers fresh(way_, lowers_);
    const NodeId shown = fresh.read_upper(upper_.path());
    const Description actual({fresh.pool(), shown}, way_,
                             [&](NodeId id) { return fresh.content(id); });
    const Description expected({layers_.pool(), tree}, way_, [&](NodeId id) {
      const Node& node = layers_.pool()[id];
      return ContentPtr(guest_.content(node.origin == Origin::kGuest
                                           ? node.host_ino
                                           : guest_.number_of(id)));
    });
    ASSERT_EQ(actual.lines(), expected.lines());
  }

  // Nothing of an earlier upper is left in the tree.
  void check_is_of_merged(NodeId tree) {
    std::set<NodeId> of_merged;
    collect_upper(merged_, of_merged);
    std::set<NodeId> met;
    collect_upper(tree, met);
    EXPECT_TRUE(std::ranges::includes(of_merged, met));
  }

  // The objects of upper that nodes of a tree are, or are states of.
  void collect_upper(NodeId id, std::set<NodeId>& objects) {
    const NodePool& pool = layers_.pool();
    if (const NodeId object = layer_object(pool, id);
        is_upper_object(pool, object))
      objects.insert(object);
    if (pool[id].is_dir())
      for (const Entry& entry : pool.entries(id))
        collect_upper(entry.node, objects);
  }

  // A file that kept its names, in directories that kept theirs, and its
  // bytes, is the same file in upper, if it is in upper.
  void check_untouched(NodeId before) {
    const auto was = std::exchange(untouched_, {});
    for (const std::string& path : guest_.paths()) {
      auto& inode = guest_[path];
      if (S_ISREG(inode.node.mode))
        untouched_[inode.number] +=
            std::to_string(inode.edits) + chain(path) + "\n";
    }
    for (const std::string& path : guest_.paths()) {
      const uint64_t number = guest_[path].number;
      if (const auto at = was.find(number);
          at == was.end() || at->second != untouched_[number])
        continue;
      const NodePool& pool = layers_.pool();
      const NodeId old = find_node({pool, before}, path);
      const NodeId now = find_node({pool, merged_}, path);
      if (is_upper_object(pool, old) && is_upper_object(pool, now)) {
        ASSERT_EQ(pool[old].host_ino, pool[now].host_ino) << path;
        ++seen_untouched;
      }
    }
  }

  std::string chain(const std::string& path) {
    std::string numbers;
    for (std::string at = path; !at.empty();
         at = std::string(split_path(at).dir))
      numbers += " " + std::to_string(guest_[at].number);
    return path + numbers;
  }

  // Finds again what was told to be kept.
  void follow(const Rebased& rebased) {
    const NodePool& pool = layers_.pool();
    std::map<uint64_t, NodeId> by_ino;
    for (const NodeId object : upper_objects({pool, merged_}))
      by_ino[pool[object].host_ino] = object;
    NowMap now;
    for (const NodeId file : rebased.kept) {
      const auto at = by_ino.find(pool[now_.at(file)].host_ino);
      ASSERT_NE(at, by_ino.end());
      EXPECT_EQ(bytes(at->second), base_bytes_.at(file));
      now[file] = at->second;
    }
    for (const NodeId file : rebased.lost) {
      EXPECT_FALSE(by_ino.contains(pool[now_.at(file)].host_ino));
      guest_.lose(file);
    }
    seen_kept += rebased.kept.size();
    seen_lost += rebased.lost.size();
    now_ = std::move(now);
  }

  void check_nothing_left(bool redirect_dir) {
    const auto again = rebase(guest_.tree(), redirect_dir);
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_EQ(again->guest.root, merged_);
    EXPECT_TRUE(again->lost.empty());
  }

  const Way& way_;
  const Lines lowers_;
  HostUpper upper_;
  Layers layers_;
  const NodeId base_;
  NodeId merged_;
  GuestModel guest_;
  NowMap now_;
  std::map<NodeId, std::string> base_bytes_;
  std::map<uint64_t, std::string> untouched_;

 public:
  size_t seen_untouched = 0;
  size_t seen_kept = 0;
  size_t seen_lost = 0;
};

// One seed, in a directory of its own.
class Story {
 public:
  Story(const Way& way, uint64_t seed)
      : way_(way), random_(seed), layers_{temp_.dir("lowest")} {}

  void tell() {
    for (int layer = 0; layer < 3; ++layer) {
      layers_.insert(layers_.begin(), temp_.dir(std::to_string(layer)));
      work(1, 80);
    }
    work(6, 16);
  }

  size_t seen_untouched = 0;
  size_t seen_kept = 0;
  size_t seen_lost = 0;

 private:
  // A session on the topmost layer.
  void work(int rounds, uint64_t max_edits) {
    Session session(way_, {layers_.begin() + 1, layers_.end()}, layers_.front(),
                    temp_.dir("staging"));
    RandomGuest guest(session.guest(), random_);
    for (int i = 0; i < rounds && !::testing::Test::HasFatalFailure(); ++i) {
      SCOPED_TRACE("layer " + layers_.front() + ", round " + std::to_string(i));
      for (uint64_t edits = random_() % max_edits; edits > 0; --edits)
        guest.edit();
      session.write_back(
          way_.redirect_dir[random_() % way_.redirect_dir.size()]);
    }
    seen_untouched += session.seen_untouched;
    seen_kept += session.seen_kept;
    seen_lost += session.seen_lost;
  }

  const Way& way_;
  TempDir temp_;
  std::mt19937_64 random_;
  Lines layers_;
};

class RebaseRandomTest : public ::testing::TestWithParam<Way> {};

TEST_P(RebaseRandomTest, UpperFollowsTheGuest) {
  const Way& way = GetParam();
  if (way.privileged && ::geteuid() != 0)
    GTEST_SKIP() << "needs root: attributes in trusted.*, owners";
  const std::vector<uint64_t> seeds = random_seeds(20);
  size_t untouched = 0;
  size_t kept = 0;
  size_t lost = 0;
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Story story(way, seed);
    story.tell();
    ASSERT_FALSE(HasFailure());
    untouched += story.seen_untouched;
    kept += story.seen_kept;
    lost += story.seen_lost;
  }
  std::cout << "untouched " << untouched << ", kept " << kept << ", lost "
            << lost << "\n";
  EXPECT_GT(untouched, seeds.size());
  EXPECT_GT(kept, seeds.size());
  EXPECT_GT(lost, seeds.size());
}

INSTANTIATE_TEST_SUITE_P(
    , RebaseRandomTest,
    ::testing::Values(Way{"Unprivileged", false, {false}},
                      Way{"Redirects", true, {true}},
                      Way{"Copies", true, {false}},
                      Way{"Alternating", true, {true, false}}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace ovl
