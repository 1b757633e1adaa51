// SPDX-License-Identifier: BSD-3-Clause
//
// A guest in memory, layers in directories of the host, and checkpoints from
// the one to the other: what tests of LiveTree and plan_live stand on.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

#include "fsengine/overlay/live_plan.h"
#include "tests/support/host_layers.h"
#include "tests/support/model_changes.h"
#include "tests/support/stopping_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {

class LiveWorld {
 public:
  LiveWorld(const Way& way, const Lines& lowers, const std::string& upper,
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
  ModelChanges& changes() { return changes_; }
  PublishPlan steps;  // of the last checkpoint
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
    steps = OVL_TRY(stage.run());
    patched += steps.patches.size();
    moved += steps.moves.size();
    OVL_TRY(publish_steps(stop));
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

 private:
  NodeId node_of(const ObjectId& id) {
    const NodeId node = guest_.base_of(to_int(id.ino));
    return node != kNoNode && (layers_.pool()[node].mode & S_IFMT) == id.type
               ? node
               : kNoNode;
  }
  ObjectId id_of(NodeId node) {
    return {Ino{static_cast<uint32_t>(guest_.number_of(node))}, 0,
            static_cast<uint16_t>(layers_.pool()[node].mode & S_IFMT)};
  }
  Status publish_steps(bool stop) {
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

}  // namespace ovl
