// SPDX-License-Identifier: BSD-3-Clause
//
// The guest's tree as upper shows it, while a guest is at work: which names
// lead to which object, and where each of them stands. It is kept from one
// checkpoint to the next, and costs what the guest touched: the rest is as in
// the tree that it started from. The essay on checkpoints is in live_plan.cc.
// For one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/name_index.h"

namespace ovl {

class LiveTree {
 public:
  /// Upper shows `tree`, and the guest knows its objects by these identities.
  /// All of it outlives the LiveTree.
  struct Start {
    Tree tree;
    Tree lower;  // the merge of the lowers alone, in the same pool
    std::function<NodeId(const ObjectId&)> node_of;  // kNoNode: none of its
    std::function<ObjectId(NodeId)> id_of;
  };
  explicit LiveTree(Start start);

  const NodePool& pool() const { return start_.tree.pool; }
  ObjectId root() const { return root_; }

  struct Name {
    ObjectId directory;
    std::string name;

    auto operator<=>(const Name&) const = default;
  };
  /// Those that lead to an object, sorted; none for the root, and for what has
  /// none.
  std::vector<Name> names(const ObjectId& id) const;
  /// One path of an object, from the root; "" for the root and for what has
  /// none.
  std::string path(const ObjectId& id) const;
  /// What a name leads to. O(log n).
  std::optional<ObjectId> child(const ObjectId& directory,
                                std::string_view name) const;
  /// All names in a directory.
  std::map<std::string, ObjectId> entries(const ObjectId& directory) const;

  /// How an object stands in the layers.
  struct Standing {
    uint64_t ino = 0;  // of upper's object; 0: it is not in upper
    /// Of a directory: the lower directory that shows through it. Of another
    /// object that is not in upper: the lower's, which the guest sees.
    NodeId lower = kNoNode;
    bool is_redirected = false;
    bool is_absent = false;  // upper's file system cannot have it; ino is 0
    NodeId start = kNoNode;  // the start tree's node of this identity
  };
  /// Nothing, kNoNode, for an object that has no names here.
  Standing standing(const ObjectId& id) const;

  /// The path of a directory in the lowers, from their root: "/a/b".
  std::string lower_path(NodeId directory) const;

  /// Names lead elsewhere now.
  void apply(const Changes& changes);
  /// Upper has the object now.
  void set_standing(const ObjectId& id, const Standing& standing);

 private:
  struct Object {
    std::optional<Standing> standing;  // none: as at the start
    std::optional<std::vector<Name>> names;
    std::map<std::string, std::optional<ObjectId>, std::less<>> entries;
  };

  void apply(const NameChange& change);
  void set_entry(const NameChange& change);
  void forget(const ObjectId& id);
  std::vector<Name>& own_names(const ObjectId& id);
  std::vector<Name> start_names(const ObjectId& id) const;
  Standing start_standing(const ObjectId& id) const;

  const Start start_;
  const NameIndex index_;
  mutable std::optional<NameIndex> lower_index_;  // when it was needed
  const ObjectId root_;
  std::map<ObjectId, Object> objects_;  // that are not as at the start
};

}  // namespace ovl
