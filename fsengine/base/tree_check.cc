// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/tree_check.h"

#include <vector>

#include "fsengine/base/checked_file.h"

namespace ovl {
namespace {

tl::unexpected<Error> bad_node(uint32_t id, std::string_view why) {
  return damaged("node " + std::to_string(id) + ": " + std::string(why));
}

// A smaller id: scans add a directory before what is in it, and the layers
// below before those above, so neither chain comes back to where it began.
bool is_earlier_directory(const NodePool& pool, uint32_t id, NodeId other) {
  return other == kNoNode || (to_int(other) < id && pool[other].is_dir());
}

bool is_data(const NodePool& pool, NodeId id) {
  return id == kNoNode || (pool[id].is_regular() && pool[id].source == kNoNode);
}

}  // namespace

Status check_references(const NodePool& pool) {
  for (uint32_t id = 0; id < pool.size(); ++id) {
    const Node& node = pool[NodeId{id}];
    if (!is_earlier_directory(pool, id, node.host_dir) ||
        (node.host_dir != kNoNode && pool[node.host_dir].layer != node.layer))
      return bad_node(id, "its directory");
    if (node.is_dir() && !is_earlier_directory(pool, id, node.lower))
      return bad_node(id, "its lower part");
    if (!is_data(pool, node.source))
      return bad_node(id, "the file with its bytes");
  }
  return {};
}

// Takes away directories that are in no other one, until none is left.
Status check_acyclic(const NodePool& pool) {
  std::vector<uint32_t> names(pool.size());
  uint32_t left = 0;
  for (uint32_t id = 0; id < pool.size(); ++id) {
    left += pool[NodeId{id}].is_dir() ? 1 : 0;
    for (const Entry& entry : pool.entries(NodeId{id}))
      ++names[to_int(entry.node)];
  }
  std::vector<NodeId> free;
  for (uint32_t id = 0; id < pool.size(); ++id)
    if (names[id] == 0 && pool[NodeId{id}].is_dir())
      free.push_back(NodeId{id});
  for (; !free.empty(); --left) {
    const NodeId taken = free.back();
    free.pop_back();
    for (const Entry& entry : pool.entries(taken))
      if (--names[to_int(entry.node)] == 0 && pool[entry.node].is_dir())
        free.push_back(entry.node);
  }
  return left == 0 ? Status() : damaged("a directory is beneath itself");
}

Status check_tree(Tree tree) {
  if (!tree.pool[tree.root].is_dir())
    return damaged("a root is not a directory");
  std::vector<bool> seen(tree.pool.size());
  std::vector<NodeId> walk{tree.root};
  seen[to_int(tree.root)] = true;
  while (!walk.empty()) {
    const NodeId at = walk.back();
    walk.pop_back();
    for (const Entry& entry : tree.pool.entries(at)) {
      if (!tree.pool[entry.node].is_dir())
        continue;
      if (seen[to_int(entry.node)])
        return bad_node(to_int(entry.node), "a directory with two names");
      seen[to_int(entry.node)] = true;
      walk.push_back(entry.node);
    }
  }
  return {};
}

}  // namespace ovl
