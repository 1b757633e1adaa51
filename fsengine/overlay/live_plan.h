// SPDX-License-Identifier: BSD-3-Clause
//
// What upper must become for a difference of the guest's tree, as UpperStage
// takes it. The essay is in the .cc.
#pragma once

#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/live_delta.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

struct LivePlan {
  UpperPlan upper;
  /// What will stand in upper as it did not before.
  struct Placed {
    ObjectId id;
    NodeId node = kNoNode;
    LiveTree::Standing standing;  // ino 0: that of the object that is made
  };
  std::vector<Placed> placed;
};

struct LiveRules {
  bool redirect_dir = true;  // as in PlanInput
  XattrFamily family = XattrFamily::kTrusted;
};

/// Reads of `upper` only objects that change. Nodes are added to `pool`, which
/// the plan refers to. ESTALE when upper has another object than the tree says.
Result<LivePlan> plan_live(const LiveDelta& delta, const LiveRules& rules,
                           const Layer& upper, NodePool& pool);

}  // namespace ovl
