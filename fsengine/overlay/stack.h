// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/base/tree_codec.h"
#include "fsengine/overlay/data_layers.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/layer_record.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

struct StackOptions {
  std::vector<std::string> lowers;     // first is topmost, at least one
  std::vector<std::string> data_only;  // see DataLayers
  std::optional<std::string> upper;
  XattrFamily family = XattrFamily::kTrusted;
};

/// A stack as it was kept: what its layers were, and its trees.
struct SavedStack {
  std::vector<LayerRecord> layers;
  PooledTrees trees;
};

/// The layers, scanned and merged. Immutable but for the nodes that a reader
/// of the guest's tree adds to the pool; layers and pool live as long as it.
class Stack {
 public:
  static Result<std::unique_ptr<Stack>> open(const StackOptions& options);

  /// The stack that was kept: opens its layers at the paths they had, and reads
  /// no more of them than their roots, which must be the directories that they
  /// were; an error names parameter and path.
  static Result<std::unique_ptr<Stack>> restore(SavedStack saved);

  /// Upper as it is now, scanned and merged over the lowers; nodes are added
  /// to the pool. REQUIRES: there is an upper.
  Result<Tree> merge_upper_now(XattrFamily family);

  NodePool& pool() { return pool_; }
  const NodePool& pool() const { return pool_; }

  /// The merge of the lowers alone.
  Tree lower() const { return {pool_, lower_root_}; }
  /// What the guest sees: upper over the lowers, or the lowers alone.
  Tree merged() const { return {pool_, merged_root_}; }

  /// Paths at which a layer shows an empty directory or file, because it may
  /// not be looked at under what is mounted there.
  const std::vector<std::string>& mount_points() const { return mounts_; }

  /// True for an object of upper, and for none that the guest made.
  bool is_upper(const Node& node) const {
    return node.origin == Origin::kLayer && node.layer == 0;
  }

  /// Layer 0 is upper, or nullptr; 1 is the topmost lower, and behind the
  /// lowers come the data-only layers.
  const Layer& layer(uint16_t index) const { return *layers_[index]; }

  /// What the layers were before they were scanned: upper, if there is one,
  /// then the lowers, then the data-only layers.
  const std::vector<LayerRecord>& records() const { return records_; }

  /// What the layers gave: the nodes before any that a reader of the guest's
  /// tree added.
  PoolPart scanned() const {
    return {pool_, scanned_nodes_, lower_root_, merged_root_};
  }

 private:
  Stack() = default;
  Status open_layers(const StackOptions& options);
  Status open_layer(LayerRole role, const std::string& path);
  Result<NodeId> add(uint16_t index, NodeId below, XattrFamily family);

  Status refuse_visible_unreadable() const;

  NodePool pool_;
  DataLayers data_{pool_};
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<LayerRecord> records_;
  NodeId lower_root_ = kNoNode;
  NodeId merged_root_ = kNoNode;
  uint32_t scanned_nodes_ = 0;
  bool has_unreadable_ = false;
  std::vector<std::string> mounts_;
};

}  // namespace ovl
