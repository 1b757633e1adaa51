// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/live_tree.h"

#include <algorithm>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {

LiveTree::LiveTree(Start start)
    : start_(std::move(start)),
      index_(start_.tree),
      root_(start_.id_of(start_.tree.root)) {}

std::vector<LiveTree::Name> LiveTree::names(const ObjectId& id) const {
  const auto at = objects_.find(id);
  return at != objects_.end() && at->second.names ? *at->second.names
                                                  : start_names(id);
}

std::vector<LiveTree::Name> LiveTree::start_names(const ObjectId& id) const {
  std::vector<Name> names;
  const NodeId node = start_.node_of(id);
  if (node == kNoNode)
    return names;
  for (const NameIndex::Place& place : index_.find(node))
    names.push_back({start_.id_of(place.directory), std::string(place.name)});
  std::ranges::sort(names);
  return names;
}

// Directories are no one's children but the root's, at last.
std::string LiveTree::path(const ObjectId& id) const {
  std::vector<std::string> owned;
  for (ObjectId at = id; at != root_;) {
    std::vector<Name> names = this->names(at);
    if (names.empty())
      return "";
    owned.push_back(std::move(names.front().name));
    at = names.front().directory;
  }
  return path_of(std::vector<std::string_view>(owned.begin(), owned.end()));
}

std::optional<ObjectId> LiveTree::child(const ObjectId& directory,
                                        std::string_view name) const {
  if (const auto object = objects_.find(directory); object != objects_.end()) {
    const auto entry = object->second.entries.find(name);
    if (entry != object->second.entries.end())
      return entry->second;
  }
  const NodeId node = start_.node_of(directory);
  const NodeId found = node == kNoNode ? kNoNode : pool().child(node, name);
  if (found == kNoNode)
    return std::nullopt;
  return start_.id_of(found);
}

std::map<std::string, ObjectId> LiveTree::entries(
    const ObjectId& directory) const {
  std::map<std::string, ObjectId> all;
  if (const NodeId node = start_.node_of(directory); node != kNoNode)
    for (const Entry& entry : pool().entries(node))
      all.emplace(pool().name(entry), start_.id_of(entry.node));
  if (const auto object = objects_.find(directory); object != objects_.end())
    for (const auto& [name, now] : object->second.entries) {
      all.erase(name);
      if (now)
        all.emplace(name, *now);
    }
  return all;
}

LiveTree::Standing LiveTree::standing(const ObjectId& id) const {
  const auto at = objects_.find(id);
  return at != objects_.end() && at->second.standing ? *at->second.standing
                                                     : start_standing(id);
}

LiveTree::Standing LiveTree::start_standing(const ObjectId& id) const {
  Standing standing;
  standing.start = start_.node_of(id);
  if (standing.start == kNoNode)
    return standing;
  const Node& node = pool()[standing.start];
  if (!is_upper_object(pool(), standing.start)) {
    standing.lower = standing.start;
    return standing;
  }
  standing.ino = node.host_ino;
  standing.is_redirected = node.has_redirect;
  if (node.is_dir())
    standing.lower = node.lower;
  return standing;
}

std::string LiveTree::lower_path(NodeId directory) const {
  if (!lower_index_)
    lower_index_.emplace(start_.lower);
  std::vector<std::string_view> names;
  for (auto at = lower_index_->find(directory); !at.empty();
       at = lower_index_->find(at.front().directory))
    names.push_back(at.front().name);
  return "/" + path_of(names);
}

// What is gone is forgotten, or a guest that makes and removes files for years
// would fill us up.
void LiveTree::apply(const Changes& changes) {
  for (const NameChange& change : changes.names)
    apply(change);
  for (const ObjectChange& change : changes.objects)
    if (change.kind == ObjectChange::Kind::kGone)
      forget(change.id);
}

void LiveTree::forget(const ObjectId& id) {
  if (start_.node_of(id) == kNoNode)
    objects_.erase(id);
  else
    objects_[id] = {Standing{}, std::vector<Name>{}, {}};
}

void LiveTree::apply(const NameChange& change) {
  const Name name{change.directory, change.name};
  if (change.before)
    std::erase(own_names(*change.before), name);
  if (change.now) {
    std::vector<Name>& names = own_names(*change.now);
    names.insert(std::ranges::lower_bound(names, name), name);
  }
  set_entry(change);
}

void LiveTree::set_entry(const NameChange& change) {
  auto& entries = objects_[change.directory].entries;
  const NodeId start = start_.node_of(change.directory);
  const bool hides =
      start != kNoNode && pool().child(start, change.name) != kNoNode;
  if (change.now || hides)
    entries[change.name] = change.now;
  else
    entries.erase(change.name);
}

std::vector<LiveTree::Name>& LiveTree::own_names(const ObjectId& id) {
  Object& object = objects_[id];
  if (!object.names)
    object.names = start_names(id);
  return *object.names;
}

void LiveTree::set_standing(const ObjectId& id, const Standing& standing) {
  objects_[id].standing = standing;
}

}  // namespace ovl
