// SPDX-License-Identifier: BSD-3-Clause
//
// Makes trees by hand for tests: nodes in a pool, directories as lists of
// names. A directory's node is made from its children, so build from below:
//
//   TreeBuilder make(pool);
//   const NodeId root = make.dir({{"a", make.file(100)}, {"b", make.dir({})}});
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/tree.h"

namespace ovl {

class TreeBuilder {
 public:
  using Names = std::vector<std::pair<std::string, NodeId>>;

  explicit TreeBuilder(NodePool& pool) : pool_(pool) {}

  NodeId file(uint64_t size) { return add(S_IFREG | 0644, size); }

  NodeId sparse_file(uint64_t size, std::vector<DataRun> runs) {
    const NodeId id = file(size);
    pool_.mutable_node(id).holes =
        pool_.hole_maps.intern({true, std::move(runs)});
    return id;
  }

  NodeId symlink(const std::string& target) {
    const NodeId id = add(S_IFLNK | 0777, target.size());
    pool_.mutable_node(id).target = pool_.strings.add(target);
    return id;
  }

  /// `type` is S_IFCHR, S_IFBLK, S_IFIFO or S_IFSOCK.
  NodeId special(mode_t type, DeviceNo rdev = {}) {
    const NodeId id = add(type | 0600, 0);
    pool_.mutable_node(id).rdev = rdev;
    return id;
  }

  NodeId dir(const Names& names, NodeId lower = kNoNode) {
    std::vector<Entry> entries;
    for (const auto& [name, node] : names)
      entries.push_back({pool_.strings.add(name), node});
    const NodeId id = add(S_IFDIR | 0755, 0);
    pool_.mutable_node(id).lower = lower;
    pool_.set_entries(id, std::move(entries));
    return id;
  }

  NodeId with_xattrs(NodeId id, XattrSet set) {
    pool_.mutable_node(id).xattrs = pool_.xattrs.intern(std::move(set));
    return id;
  }

  Node& operator[](NodeId id) { return pool_.mutable_node(id); }

 private:
  NodeId add(mode_t mode, uint64_t size) {
    Node node;
    node.mode = static_cast<uint16_t>(mode);
    node.size = size;
    node.mtime_sec = 1'700'000'000;
    node.mtime_nsec = 123'456'789;
    node.host_ino = ++next_host_ino_;
    return pool_.add(node);
  }

  NodePool& pool_;
  uint64_t next_host_ino_ = 1000;
};

}  // namespace ovl
