// SPDX-License-Identifier: BSD-3-Clause
//
// The overlay's rules for a difference: what of upper a change of the guest's
// tree concerns. Pure: nothing on disk is looked at. The essay is in the .cc.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>

#include "fsengine/overlay/live_delta.h"

namespace ovl {

class LiveShape {
 public:
  using Name = LiveTree::Name;

  /// `redirect_dir` as in PlanInput. The delta outlives it.
  LiveShape(const LiveDelta& delta, bool redirect_dir);

  /// Names in directories of upper, by directory, that are looked at: the rest
  /// of upper stays as it is.
  const std::map<ObjectId, std::set<std::string>>& affected() const {
    return affected_;
  }
  /// Objects that upper must have then and has not, or not at this place.
  const std::set<ObjectId>& needed() const { return needed_; }

  /// Will upper have the object?
  bool stands(const ObjectId& id) const;
  /// Upper's object cannot become what it has to be.
  bool is_remade(const ObjectId& id) const { return remade_.contains(id); }
  /// The lower directory that will show through a directory, or would if it
  /// stood in upper.
  NodeId shown(const ObjectId& directory) const;
  /// The lower directory that it is over is at its own place.
  bool is_in_place(const ObjectId& directory) const;
  /// What the lowers have under a name.
  NodeId lower_child(const Name& name) const;

 private:
  void take(const ObjectChange& change);
  void take(const NameChange& change);
  void need(const ObjectId& id);
  void remake(const ObjectId& id);
  bool is_metacopy(const ObjectId& id) const;
  void settle(const ObjectId& id);
  void affect(const Name& name);
  void need_all_in(const ObjectId& directory);
  void uncover_in(const ObjectId& directory);
  bool shows_through(const ObjectId& id) const;
  NodeId decide_shown(const ObjectId& directory) const;

  const LiveDelta& delta_;
  const LiveTree& tree_;
  const bool redirect_dir_;
  std::map<ObjectId, std::set<std::string>> affected_;
  std::set<ObjectId> needed_;
  std::set<ObjectId> remade_;
  std::deque<ObjectId> todo_;
  mutable std::map<ObjectId, NodeId> shown_;  // as far as it was asked for
};

}  // namespace ovl
