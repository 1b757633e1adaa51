// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/live_delta.h"

#include <algorithm>

namespace ovl {

LiveDelta::LiveDelta(const LiveTree& tree, const Changes& changes)
    : tree_(tree), changes_(changes) {
  for (const NameChange& change : changes.names) {
    const Name name{change.directory, change.name};
    entries_[name] = change.now;
    if (change.before)
      names_[*change.before].go.push_back(name);
    if (change.now)
      names_[*change.now].come.push_back(name);
  }
  for (const ObjectChange& change : changes.objects) {
    if (change.kind == ObjectChange::Kind::kGone)
      gone_.insert(change.id);
    else
      objects_[change.id] = &change;
  }
}

std::vector<LiveDelta::Name> LiveDelta::names(const ObjectId& id) const {
  std::vector<Name> names = tree_.names(id);
  const auto at = names_.find(id);
  if (at == names_.end())
    return names;
  for (const Name& name : at->second.go)
    std::erase(names, name);
  names.insert(names.end(), at->second.come.begin(), at->second.come.end());
  std::ranges::sort(names);
  return names;
}

std::optional<ObjectId> LiveDelta::child(const Name& name) const {
  const auto at = entries_.find(name);
  return at == entries_.end() ? tree_.child(name.directory, name.name)
                              : at->second;
}

std::map<std::string, ObjectId> LiveDelta::entries(
    const ObjectId& directory) const {
  auto all = tree_.entries(directory);
  for (auto at = entries_.lower_bound({directory, ""});
       at != entries_.end() && at->first.directory == directory; ++at) {
    all.erase(at->first.name);
    if (at->second)
      all.emplace(at->first.name, *at->second);
  }
  return all;
}

const ObjectChange* LiveDelta::find(const ObjectId& id) const {
  const auto at = objects_.find(id);
  return at == objects_.end() ? nullptr : at->second;
}

bool LiveDelta::is_moved(const ObjectId& directory) const {
  return names_.contains(directory) &&
         tree_.names(directory) != names(directory);
}

}  // namespace ovl
