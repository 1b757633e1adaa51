// SPDX-License-Identifier: BSD-3-Clause
#include "images/tree_path.h"

#include <utility>
#include <vector>

#include "fsengine/base/paths.h"

namespace ovl {

std::optional<std::string> find_path(Tree tree, NodeId node) {
  if (node == tree.root)
    return "";
  std::vector<std::pair<NodeId, std::string>> to_visit{{tree.root, ""}};
  while (!to_visit.empty()) {
    const auto [directory, path] = std::move(to_visit.back());
    to_visit.pop_back();
    for (const Entry& entry : tree.pool.entries(directory)) {
      std::string name = join_path(path, tree.pool.name(entry));
      if (entry.node == node)
        return name;
      if (tree.pool[entry.node].is_dir())
        to_visit.emplace_back(entry.node, std::move(name));
    }
  }
  return std::nullopt;
}

}  // namespace ovl
