// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <map>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/live_delta.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// Tells objects of a difference as nodes of a pool of their own, which
/// UpperStage works with: what upper has as kLayer nodes of layer 0, read there
/// now; their new states, and all else, as kGuest ones.
class LiveNodes {
 public:
  /// All outlive it; `upper` is upper's directory, `pool` that of the nodes.
  LiveNodes(const LiveDelta& delta, const Layer& upper, XattrFamily family,
            NodePool& pool)
      : delta_(delta), upper_(upper), family_(family), pool_(pool) {}

  /// The state that an object will have, over upper's object if that has it
  /// and it is not `remade`. ESTALE when upper has another object there.
  enum class Making { kKept, kRemade };
  Result<NodeId> state(const ObjectId& id, Making making = Making::kKept);

  /// A directory of upper as it stands: its place and inode number alone.
  NodeId place(const ObjectId& directory);

 private:
  Result<NodeId> read_upper(const ObjectId& id);
  bool is_written(const ObjectId& id, const LayerObject& object) const;
  Node first_state(const ObjectId& id);
  Node copy_of(const Node& node);
  void change(const ObjectChange& change, Node& node);

  const LiveDelta& delta_;
  const Layer& upper_;
  const XattrFamily family_;
  NodePool& pool_;
  std::map<ObjectId, NodeId> places_;
};

/// Where a file has data after a change of its content.
HoleMap holes_after(std::vector<DataRun> before, const ContentChange& change);

}  // namespace ovl
