// SPDX-License-Identifier: BSD-3-Clause
//
// A guest works for a long time, with checkpoints between, on directories of
// the host. Behind each checkpoint the layers show what the guest has, and the
// live tree tells where in upper each object stands. Some are stopped at each
// of their operations, and go on from there.
//
// The layers are made in the same way, the upper of one session being the
// topmost lower of the next; so they have whiteouts, opaque directories and
// redirects of their own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>
#include <random>

#include "fsengine/overlay/live_plan.h"
#include "tests/support/host_layers.h"
#include "tests/support/model_changes.h"
#include "tests/support/random_guest.h"
#include "tests/support/stopping_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

class LiveSession {
 public:
  LiveSession(const Way& way, const Lines& lowers, const std::string& upper,
              const std::string& staging, std::mt19937_64& random)
      : way_(way),
        path_(upper),
        upper_(open_dir(upper)),
        staging_(open_dir(staging)),
        layers_(way, lowers),
        base_(layers_.read_upper(upper)),
        guest_(layers_.pool(), base_,
               [this](NodeId id) { return layers_.content(id); }),
        changes_(guest_, random),
        live_({{layers_.pool(), base_},
               layers_.lower(),
               [this](const ObjectId& id) { return node_of(id); },
               [this](NodeId id) { return id_of(id); }}) {}

  GuestModel& guest() { return guest_; }
  size_t patched = 0;
  size_t moved = 0;
  size_t stopped = 0;

  void checkpoint(bool redirect_dir, bool stop) {
    const auto done = apply(redirect_dir, stop);
    ASSERT_TRUE(done) << done.error().what();
    const NodeId merged = layers_.read_upper(path_);
    ASSERT_EQ(describe_upper(merged), describe_guest());
    check_standing(guest_.root(), merged, "");
  }

 private:
  NodeId node_of(const ObjectId& id) const {
    const NodeId node = guest_.base_of(to_int(id.ino));
    return node != kNoNode && (layers().pool()[node].mode & S_IFMT) == id.type
               ? node
               : kNoNode;
  }
  ObjectId id_of(NodeId node) const {
    return {Ino{static_cast<uint32_t>(guest_.number_of(node))}, 0,
            static_cast<uint16_t>(layers().pool()[node].mode & S_IFMT)};
  }
  Layers& layers() const { return const_cast<Layers&>(layers_); }

  Status apply(bool redirect_dir, bool stop) {
    const Changes changes = changes_.since();
    const LiveDelta delta(live_, changes);
    NodePool pool;
    const auto upper = OVL_TRY(DirLayer::open(path_));
    const LivePlan plan =
        OVL_TRY(plan_live(delta, {redirect_dir, way_.family()}, *upper, pool));
    QuickOs os;
    const UpperTarget target{.os = os,
                             .pool = pool,
                             .upper = upper_.get(),
                             .staging = staging_.get(),
                             .family = way_.family(),
                             .owner = way_.owner(),
                             .privileged = way_.privileged,
                             .content = [&](NodeId id) -> ContentPtr {
                               return guest_.content(pool[id].host_ino);
                             }};
    UpperStage stage(target, plan.upper);
    const PublishPlan steps = OVL_TRY(stage.run());
    patched += steps.patches.size();
    moved += steps.moves.size();
    OVL_TRY(publish_steps(steps, stop));
    OVL_TRY(empty_directory(os, staging_.get()));
    live_.apply(changes);
    for (const LivePlan::Placed& placed : plan.placed) {
      LiveTree::Standing standing = placed.standing;
      if (standing.ino == 0)
        standing.ino = stage.made_ino(placed.node);
      live_.set_standing(placed.id, standing);
    }
    changes_.accept();
    return {};
  }

  Status publish_steps(const PublishPlan& steps, bool stop) {
    const std::string file = encode_plan(steps);
    const PublishPlan read =
        OVL_TRY(decode_plan(std::as_bytes(std::span(file))));
    StoppingOs os;
    for (uint64_t at = 0; stop; ++at) {
      os.reset();
      os.stop_at(at);
      const auto done = publish(os, upper_.get(), staging_.get(), read);
      if (done || os.count() <= at)
        break;
      ++stopped;
    }
    os.reset();
    OVL_TRY(publish(os, upper_.get(), staging_.get(), read));
    return publish(os, upper_.get(), staging_.get(), read);
  }

  Lines describe_upper(NodeId merged) {
    return Description({layers_.pool(), merged}, way_,
                       [this](NodeId id) { return layers_.content(id); })
        .lines();
  }

  // Files of the base may stand elsewhere by now.
  Lines describe_guest() {
    return Description({layers_.pool(), guest_.tree()}, way_,
                       [this](NodeId id) -> ContentPtr {
                         const Node& node = layers_.pool()[id];
                         return guest_.content(node.origin == Origin::kLayer
                                                   ? guest_.number_of(id)
                                                   : node.host_ino);
                       })
        .lines();
  }

  void check_standing(const GuestModel::Inode& inode, NodeId shown,
                      const std::string& path) {
    const Node& node = layers_.pool()[shown];
    const LiveTree::Standing standing =
        live_.standing(ModelChanges::id_of(inode));
    ASSERT_EQ(standing.ino, node.layer == 0 ? node.host_ino : 0) << path;
    for (const auto& [name, child] : inode.children) {
      const auto found = live_.child(ModelChanges::id_of(inode), name);
      ASSERT_EQ(found, ModelChanges::id_of(*child)) << path << "/" << name;
      check_standing(*child, layers_.pool().child(shown, name),
                     join_path(path, name));
    }
  }

  const Way& way_;
  const std::string path_;
  const Fd upper_;
  const Fd staging_;
  Layers layers_;
  const NodeId base_;
  GuestModel guest_;
  ModelChanges changes_;
  LiveTree live_;
};

struct Counts {
  size_t patched = 0;
  size_t moved = 0;
  size_t stopped = 0;
};

// One seed, in a directory of its own.
class Story {
 public:
  Story(const Way& way, uint64_t seed)
      : way_(way), random_(seed), layers_{temp_.dir("lowest")} {}

  Counts tell() {
    for (int layer = 0; layer < 3; ++layer) {
      layers_.insert(layers_.begin(), temp_.dir(std::to_string(layer)));
      work(2, 60);
    }
    work(10, 12);
    return counts_;
  }

 private:
  void work(int rounds, uint64_t max_edits) {
    LiveSession session(way_, {layers_.begin() + 1, layers_.end()},
                        layers_.front(), temp_.dir("staging"), random_);
    RandomGuest guest(session.guest(), random_);
    for (int i = 0; i < rounds && !::testing::Test::HasFatalFailure(); ++i) {
      SCOPED_TRACE("layer " + layers_.front() + ", round " + std::to_string(i));
      for (uint64_t edits = random_() % max_edits; edits > 0; --edits)
        guest.edit();
      session.checkpoint(
          way_.redirect_dir[random_() % way_.redirect_dir.size()],
          random_() % 8 == 0);
    }
    counts_.patched += session.patched;
    counts_.moved += session.moved;
    counts_.stopped += session.stopped;
  }

  const Way& way_;
  TempDir temp_;
  std::mt19937_64 random_;
  Lines layers_;
  Counts counts_;
};

class LiveRandomTest : public ::testing::TestWithParam<Way> {};

TEST_P(LiveRandomTest, UpperFollowsTheGuest) {
  const Way& way = GetParam();
  if (way.privileged && ::geteuid() != 0)
    GTEST_SKIP() << "needs root: attributes in trusted.*, owners";
  const std::vector<uint64_t> seeds = random_seeds(20);
  Counts all;
  for (const uint64_t seed : seeds) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Counts counts = Story(way, seed).tell();
    ASSERT_FALSE(HasFailure());
    all.patched += counts.patched;
    all.moved += counts.moved;
    all.stopped += counts.stopped;
  }
  std::cout << all.patched << " files patched, " << all.moved
            << " directories moved, stopped " << all.stopped << " times\n";
  EXPECT_GT(all.patched, seeds.size());
  EXPECT_GT(all.moved, seeds.size());
  EXPECT_GT(all.stopped, seeds.size());
}

INSTANTIATE_TEST_SUITE_P(
    , LiveRandomTest,
    ::testing::Values(Way{"Unprivileged", false, {false}},
                      Way{"Redirects", true, {true}},
                      Way{"Copies", true, {false}},
                      Way{"Alternating", true, {true, false}}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace ovl
