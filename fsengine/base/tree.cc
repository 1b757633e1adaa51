// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/tree.h"

#include <algorithm>

#include "fsengine/base/paths.h"
#include "fsengine/base/units.h"

namespace ovl {

NodeId NodePool::add(const Node& node) {
  nodes_.push_back(node);
  return NodeId{size() - 1};
}

void NodePool::set_entries(NodeId directory, std::vector<Entry> entries) {
  std::ranges::sort(entries, [this](const Entry& a, const Entry& b) {
    return name(a) < name(b);
  });
  const std::span<Entry> array = new_entries(entries.size());
  std::ranges::copy(entries, array.begin());
  Node& node = mutable_node(directory);
  node.entries = array.data();
  node.entry_count = static_cast<uint32_t>(array.size());
}

std::span<Entry> NodePool::new_entries(size_t count) {
  entry_arrays_.push_back(std::make_unique<Entry[]>(count));
  return {entry_arrays_.back().get(), count};
}

NodeId NodePool::child(NodeId directory, std::string_view wanted) const {
  const auto all = entries(directory);
  const auto at = std::ranges::lower_bound(
      all, wanted, {}, [this](const Entry& entry) { return name(entry); });
  return at != all.end() && name(*at) == wanted ? at->node : kNoNode;
}

Node newer_state(const NodePool& pool, NodeId id, uint64_t guest_ino) {
  Node node = pool[id];
  node.origin = Origin::kGuest;
  node.source = id;
  node.host_ino = guest_ino;
  node.host_dir = kNoNode;
  node.host_name = StrRef{};
  node.layer = 0;
  node.ctime_tag = 0;
  node.marks = kMarkNone;
  node.has_redirect = false;
  node.redirect = StrRef{};
  node.entries = nullptr;
  node.entry_count = 0;
  node.content_changed = false;
  if (node.is_dir())
    node.lower = kNoNode;
  return node;
}

bool has_known_type(uint32_t mode) {
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) ||
         S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

bool same_attributes(const Node& a, const Node& b) {
  if (a.is_device() && (!b.is_device() || a.rdev != b.rdev))
    return false;
  return a.mode == b.mode && a.uid == b.uid && a.gid == b.gid &&
         a.mtime_sec == b.mtime_sec && a.mtime_nsec == b.mtime_nsec &&
         a.flags == b.flags && a.xattrs == b.xattrs;
}

std::vector<DataRun> data_runs(const NodePool& pool, const Node& file) {
  const HoleMap& map = pool.hole_maps.get(file.holes);
  if (map.sparse)
    return map.runs;
  if (file.size == 0)
    return {};
  return {{0, static_cast<uint32_t>(blocks_for(file.size))}};
}

std::string host_path(const NodePool& pool, const Node& node) {
  std::vector<std::string_view> names;
  for (const Node* at = &node; at->host_dir != kNoNode;
       at = &pool[at->host_dir])
    names.push_back(pool.strings.get(at->host_name));
  return path_of(names);
}

}  // namespace ovl
