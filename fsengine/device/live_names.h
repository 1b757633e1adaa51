// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/mutex.h"
#include "fsengine/base/result.h"
#include "fsengine/device/half_published.h"
#include "fsengine/overlay/live_plan.h"
#include "fsengine/overlay/live_start.h"
#include "fsengine/overlay/live_tree.h"
#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/stack.h"
#include "images/decode/base_state.h"
#include "images/decode/catalog.h"

namespace ovl {

/// The guest's tree that upper shows or, while a checkpoint is published, is to
/// show: kept by the thread that makes checkpoints, looked up by readers that
/// need a file of upper.
class LiveNames {
 public:
  /// All outlive it; `upper` is upperdir.
  LiveNames(const Stack& stack, const BaseState& base, int upper)
      : stack_(stack), base_(base), upper_(upper) {}

  /// The base image's names, and what `catalog` tells of since.
  Status start(const Catalog& catalog);
  bool is_started() const { return tree_ != nullptr; }
  /// As take_standings() has it.
  Status find_standings(const Tree& now, const UpperVisitor& visit,
                        const MayLack& may_lack);

  /// For the thread that makes checkpoints. REQUIRES: is_started().
  const LiveTree& tree() const { return *tree_; }

  /// Before steps are carried out, or carried out again: upper is to show
  /// `changes`, `placed` and no longer what it did.
  void begin(const Changes& changes,
             const std::vector<LivePlan::Placed>& placed,
             const PublishPlan& steps, Fd staging);
  /// All steps were.
  void end();

  /// For any thread. "": it has no name.
  std::string path(const ObjectId& id) const;
  /// For any thread: a file that is the inode `ino`, where steps have it.
  /// ESTALE when it is at none of its places, or there are no steps.
  Result<Fd> open(const ObjectId& id, uint64_t ino) const;

 private:
  NodeId node_of(const ObjectId& id) const;
  ObjectId id_of(NodeId node) const;

  const Stack& stack_;
  const BaseState& base_;
  const int upper_;
  // Readers look for files by these while they do not change.
  mutable SharedMutex mutex_;
  std::unique_ptr<LiveTree> tree_;
  std::unique_ptr<const HalfPublished> half_;  // tree_ is ahead
};

}  // namespace ovl
