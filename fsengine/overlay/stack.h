// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/data_layers.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

struct StackOptions {
  std::vector<std::string> lowers;     // first is topmost, at least one
  std::vector<std::string> data_only;  // see DataLayers
  std::optional<std::string> upper;
  XattrFamily family = XattrFamily::kTrusted;
};

/// The layers, scanned and merged. Immutable but for the nodes that a reader
/// of the guest's tree adds to the pool; layers and pool live as long as it.
class Stack {
 public:
  static Result<std::unique_ptr<Stack>> open(const StackOptions& options);

  NodePool& pool() { return pool_; }
  const NodePool& pool() const { return pool_; }

  /// The merge of the lowers alone.
  Tree lower() const { return {pool_, lower_root_}; }
  /// What the guest sees: upper over the lowers, or the lowers alone.
  Tree merged() const { return {pool_, merged_root_}; }

  /// True for an object of upper, and for none that the guest made.
  bool is_upper(const Node& node) const {
    return node.origin == Origin::kLayer && node.layer == 0;
  }

  /// Layer 0 is upper, or nullptr; 1 is the topmost lower, and behind the
  /// lowers come the data-only layers.
  const Layer& layer(uint16_t index) const { return *layers_[index]; }

 private:
  Stack() = default;
  Status open_layers(const StackOptions& options);
  Result<NodeId> add(uint16_t index, NodeId below, XattrFamily family);

  Status refuse_visible_unreadable() const;

  NodePool pool_;
  DataLayers data_{pool_};
  std::vector<std::unique_ptr<Layer>> layers_;
  NodeId lower_root_ = kNoNode;
  NodeId merged_root_ = kNoNode;
  bool has_unreadable_ = false;
};

}  // namespace ovl
