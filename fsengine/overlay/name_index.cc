// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/name_index.h"

#include <algorithm>

namespace ovl {

NameIndex::NameIndex(Tree tree)
    : tree_(tree), directory_(tree.pool.size(), kNoNode) {
  std::vector<NodeId> todo{tree.root};
  while (!todo.empty()) {
    const NodeId directory = todo.back();
    todo.pop_back();
    for (const Entry& entry : tree.pool.entries(directory)) {
      add(entry.node, directory);
      if (tree.pool[entry.node].is_dir())
        todo.push_back(entry.node);
    }
  }
}

// Twice the same directory, for two names in it, makes no difference.
void NameIndex::add(NodeId object, NodeId directory) {
  NodeId& first = directory_[to_int(object)];
  if (first == kNoNode)
    first = directory;
  else
    more_.emplace(object, directory);
}

std::vector<NameIndex::Place> NameIndex::find(NodeId object) const {
  std::vector<Place> out;
  if (to_int(object) >= directory_.size())
    return out;
  const NodeId first = directory_[to_int(object)];
  if (first == kNoNode)
    return out;
  const auto [begin, end] = more_.equal_range(object);
  if (begin == end) {
    const NodePool& pool = tree_.pool;
    const std::string_view name = pool.strings.get(pool[object].host_name);
    if (pool.child(first, name) == object)
      return {{first, name}};
  }
  find_in(object, first, out);
  std::vector<NodeId> seen{first};
  for (auto at = begin; at != end; ++at) {
    if (std::find(seen.begin(), seen.end(), at->second) != seen.end())
      continue;
    seen.push_back(at->second);
    find_in(object, at->second, out);
  }
  return out;
}

void NameIndex::find_in(NodeId object, NodeId directory,
                        std::vector<Place>& out) const {
  for (const Entry& entry : tree_.pool.entries(directory))
    if (entry.node == object)
      out.push_back({directory, tree_.pool.name(entry)});
}

}  // namespace ovl
