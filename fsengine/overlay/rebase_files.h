// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/rebase.h"

namespace ovl {

/// The part of a rebase that is about what is no directory: which object of
/// upper each of the guest's can be. Names are added, all of them, then it is
/// decided. The rules are in the essay of rebase.cc.
class FileRebase {
 public:
  explicit FileRebase(const RebaseInput& input) : input_(input) {}

  /// Object `guest` has a name, under which `lower` shows through from the
  /// lowers, and merged has `peer`; either may be kNoNode.
  void add_name(NodeId guest, NodeId lower, NodeId peer);

  /// kPaths: some names were left out, so an object of upper may be taken that
  /// nobody told of; only those under names that were added are looked at.
  enum class Search { kPaths, kAll };
  Status decide(Search search);

  /// What stands for `guest`. REQUIRES: a name of it was added; decided.
  NodeId result(NodeId guest) const;

 private:
  struct File {
    NodeId guest = kNoNode;
    NodeId object = kNoNode;    // the layer's object that it is a state of
    bool same_content = false;  // as the object's
    bool shows_through = true;  // under each of its names
    uint32_t names = 0;
    std::vector<NodeId> peers;  // objects of upper, at most one for a name
    NodeId result = kNoNode;
  };

  File& find_or_add(NodeId guest);
  bool is_lower_as_it_is(const File& file) const;
  NodeId now_of(const File& file) const;
  Result<bool> take_known(File& file);
  Result<bool> take_equal(File& file, const std::vector<NodeId>& candidates);
  Status take_moved(const std::vector<size_t>& alone);
  std::vector<NodeId> peers_and_now(const File& file) const;
  bool has_same_value(NodeId guest, NodeId upper) const;
  bool may_be(const File& file, NodeId upper) const;
  Result<bool> has_same_bytes(const File& file, NodeId upper) const;
  Status take(File& file, NodeId upper);
  Status settle_alone(File& file);
  Node state_of(NodeId guest) const;
  Result<NodeId> add(const Node& node);

  const RebaseInput& input_;
  std::vector<File> files_;  // in the order of their first names
  std::unordered_map<NodeId, size_t> index_;
  std::unordered_set<NodeId> taken_;  // objects of upper
};

}  // namespace ovl
