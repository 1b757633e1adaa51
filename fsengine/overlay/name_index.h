// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "fsengine/base/tree.h"

namespace ovl {

/// Under which names the objects of a tree stand, which no tree tells. Built
/// by one walk; four bytes an object. Immutable, so safe for any thread.
class NameIndex {
 public:
  explicit NameIndex(Tree tree);

  struct Place {
    NodeId directory = kNoNode;
    std::string_view name;
  };
  /// All of them; none for the root, and for what is not in the tree. Cost: one
  /// search for an object under the name that its layer has for it, otherwise
  /// the directories that it is in.
  std::vector<Place> find(NodeId object) const;

 private:
  void add(NodeId object, NodeId directory);
  void find_in(NodeId object, NodeId directory, std::vector<Place>& out) const;

  const Tree tree_;
  std::vector<NodeId> directory_;  // of each node
  std::unordered_multimap<NodeId, NodeId> more_;
};

}  // namespace ovl
