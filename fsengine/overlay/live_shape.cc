// SPDX-License-Identifier: BSD-3-Clause
//
// The rules are those of upper_plan.cc, for a tree that is not all there. What
// a difference concerns:
//
//   an object that is made or changed   stands in upper: copied up if need be
//   a name that leads elsewhere         is looked at, and its directory stands
//   an object of a lower under another  is copied up under all of its names,
//   name than the lowers'               unless each shows it as it is
//   whatever stands                     so do its directories, up to the root
//   a directory over a lower one that   shows it by a redirect; without
//   is not at its own place             redirects all in it is copied up, and
//                                       whiteouts in it go: where nothing is
//                                       merged, the kernel lists them
//
// What stands in upper stays there, also when it becomes again what a lower
// has: overlayfs does the same.
//
// Directories are known by identity, so a directory that moves takes along
// what is in it, and none of that is looked at.
#include "fsengine/overlay/live_shape.h"

#include <algorithm>
#include <vector>

namespace ovl {
namespace {

bool is_dir(const ObjectId& id) {
  return S_ISDIR(id.type);
}

// Other bytes at a place that others may be reading, or another target.
bool must_be_remade(const ObjectChange& change) {
  return change.target.has_value() ||
         (change.attributes_changed & kDeviceChanged) != 0 ||
         (change.content && change.content->has_moved_blocks);
}

}  // namespace

LiveShape::LiveShape(const LiveDelta& delta, bool redirect_dir)
    : delta_(delta), tree_(delta.tree()), redirect_dir_(redirect_dir) {
  for (const ObjectChange& change : delta.changes().objects)
    if (change.kind != ObjectChange::Kind::kGone)
      take(change);
  for (const NameChange& change : delta.changes().names)
    if (!delta.is_gone(change.directory))
      take(change);
  while (!todo_.empty()) {
    const ObjectId id = todo_.front();
    todo_.pop_front();
    settle(id);
  }
}

void LiveShape::take(const ObjectChange& change) {
  const ObjectId& id = change.id;
  const bool is_made = change.kind == ObjectChange::Kind::kMade;
  if (is_made || tree_.standing(id).ino == 0) {
    need(id);
  } else if (must_be_remade(change) || is_metacopy(id)) {
    remake(id);
  } else if (is_dir(id)) {
    affected_[id];
  } else {
    affect(delta_.names(id).front());
  }
}

void LiveShape::remake(const ObjectId& id) {
  remade_.insert(id);
  need(id);
}

// Its bytes are in a lower, found by its place there.
bool LiveShape::is_metacopy(const ObjectId& id) const {
  const LiveTree::Standing standing = tree_.standing(id);
  if (standing.start == kNoNode)
    return false;
  const Node& node = tree_.pool()[standing.start];
  return node.host_ino == standing.ino && (node.marks & kMarkMetacopy) != 0;
}

void LiveShape::take(const NameChange& change) {
  affect({change.directory, change.name});
  if (!change.now)
    return;
  const ObjectId& id = *change.now;
  const bool stands = tree_.standing(id).ino != 0;
  if (stands && is_metacopy(id))
    remake(id);
  else if (stands ? is_dir(id) : !shows_through(id))
    need(id);
}

void LiveShape::need(const ObjectId& id) {
  if (needed_.insert(id).second)
    todo_.push_back(id);
}

void LiveShape::settle(const ObjectId& id) {
  for (const Name& name : delta_.names(id))
    affect(name);
  const bool loses_lower =
      is_dir(id) && shown(id) == kNoNode && tree_.standing(id).lower != kNoNode;
  if (!loses_lower)
    return;
  need_all_in(id);
  uncover_in(id);
}

void LiveShape::affect(const Name& name) {
  affected_[name.directory].insert(name.name);
  if (tree_.standing(name.directory).ino == 0)
    need(name.directory);
}

void LiveShape::need_all_in(const ObjectId& directory) {
  for (const auto& [name, id] : delta_.entries(directory))
    if (is_dir(id) || tree_.standing(id).ino == 0)
      need(id);
}

// What whiteouts in it have hidden.
void LiveShape::uncover_in(const ObjectId& directory) {
  const NodePool& pool = tree_.pool();
  for (const Entry& entry : pool.entries(tree_.standing(directory).lower)) {
    const std::string name(pool.name(entry));
    if (!delta_.child({directory, name}))
      affected_[directory].insert(name);
  }
}

bool LiveShape::stands(const ObjectId& id) const {
  return needed_.contains(id) || tree_.standing(id).ino != 0;
}

bool LiveShape::shows_through(const ObjectId& id) const {
  const NodeId lower = tree_.standing(id).lower;
  return lower != kNoNode &&
         std::ranges::all_of(delta_.names(id), [&](const Name& name) {
           return lower_child(name) == lower;
         });
}

NodeId LiveShape::lower_child(const Name& name) const {
  const NodeId directory = shown(name.directory);
  return directory == kNoNode ? kNoNode
                              : tree_.pool().child(directory, name.name);
}

// A guest chooses how deep its directories are.
NodeId LiveShape::shown(const ObjectId& directory) const {
  std::vector<ObjectId> undecided;
  for (ObjectId at = directory; !shown_.contains(at);) {
    undecided.push_back(at);
    const auto names = delta_.names(at);
    if (names.empty())
      break;
    at = names.front().directory;
  }
  for (; !undecided.empty(); undecided.pop_back())
    shown_[undecided.back()] = decide_shown(undecided.back());
  return shown_.at(directory);
}

// Those above it are decided.
NodeId LiveShape::decide_shown(const ObjectId& directory) const {
  const LiveTree::Standing standing = tree_.standing(directory);
  if (directory == tree_.root() || standing.lower == kNoNode)
    return standing.lower;
  const bool through =
      redirect_dir_ || standing.is_redirected || is_in_place(directory);
  return through ? standing.lower : kNoNode;
}

bool LiveShape::is_in_place(const ObjectId& directory) const {
  const auto names = delta_.names(directory);
  return !names.empty() &&
         lower_child(names.front()) == tree_.standing(directory).lower;
}

}  // namespace ovl
