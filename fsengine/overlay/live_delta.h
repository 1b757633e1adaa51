// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/overlay/live_tree.h"

namespace ovl {

/// The guest's tree as it will be: changes that are not taken yet, over a tree
/// that they are of. Both outlive it and stay as they are.
class LiveDelta {
 public:
  using Name = LiveTree::Name;

  LiveDelta(const LiveTree& tree, const Changes& changes);

  const LiveTree& tree() const { return tree_; }
  const Changes& changes() const { return changes_; }

  /// As LiveTree has them.
  std::vector<Name> names(const ObjectId& id) const;
  std::optional<ObjectId> child(const Name& name) const;
  std::map<std::string, ObjectId> entries(const ObjectId& directory) const;

  /// Of an object that is made or changed; null for others.
  const ObjectChange* find(const ObjectId& id) const;
  bool is_gone(const ObjectId& id) const { return gone_.contains(id); }
  /// A directory that has another name, or another directory, than before.
  bool is_moved(const ObjectId& directory) const;

 private:
  struct Names {
    std::vector<Name> come;
    std::vector<Name> go;
  };

  const LiveTree& tree_;
  const Changes& changes_;
  std::map<Name, std::optional<ObjectId>> entries_;
  std::map<ObjectId, Names> names_;
  std::map<ObjectId, const ObjectChange*> objects_;
  std::set<ObjectId> gone_;
};

}  // namespace ovl
