// SPDX-License-Identifier: BSD-3-Clause
//
// Trees as text, so that a test can state what it expects in a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/base/tree.h"

namespace ovl {

/// Depth first, names sorted: `d/` for a directory, `d/f@2` for another object
/// that layer 2 holds, `d/f@guest` for one that the guest made.
inline void append_tree_text(const Tree& tree, NodeId directory,
                             const std::string& path,
                             std::vector<std::string>& lines) {
  for (const Entry& entry : tree.pool.entries(directory)) {
    const Node& node = tree.pool[entry.node];
    const std::string at = join_path(path, tree.pool.name(entry));
    if (node.is_dir()) {
      lines.push_back(at + "/");
      append_tree_text(tree, entry.node, at, lines);
    } else if (node.origin == Origin::kGuest) {
      lines.push_back(at + "@guest");
    } else {
      lines.push_back(at + "@" + std::to_string(node.layer));
    }
  }
}

inline std::vector<std::string> tree_text(const Tree& tree) {
  std::vector<std::string> lines;
  append_tree_text(tree, tree.root, "", lines);
  return lines;
}

/// The node at `path`, or kNoNode.
inline NodeId find_node(const Tree& tree, std::string_view path) {
  NodeId at = tree.root;
  while (!path.empty() && at != kNoNode && tree.pool[at].is_dir()) {
    const size_t slash = path.find('/');
    at = tree.pool.child(at, path.substr(0, slash));
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
  }
  return at;
}

}  // namespace ovl
