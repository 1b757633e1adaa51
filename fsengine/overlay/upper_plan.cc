// SPDX-License-Identifier: BSD-3-Clause
//
// Identity tells all: every directory of the guest knows which lower directory
// it is (its lower part), every other object which lower inode it is, and
// whether it was changed. Then
//
//   a directory at the place of its lower part   stands in upper only if it,
//                                                 or something in it, differs
//   one elsewhere                                 gets a redirect to it
//   one without lower part                        is opaque where a lower shows
//   another object                                stands in upper unless each
//                                                 of its names is that very
//                                                 lower inode, unchanged
//   a lower's name that the guest has not         gets a whiteout
//
// An object stands in upper under all of its names or none, so that a hard
// link is never broken. No order of operations, no rename cycles, no upkeep of
// whiteouts.
//
// What the guest did not touch is the same node as before and is not looked
// at: a lower directory shows through, an upper one is kept. One case needs
// the whole tree: a lower directory copied in full (redirect_dir=off) may hold
// a hard link whose other names lie in a part that nobody touched.
//
// The walk is a worklist: the guest chooses how deep its directories are.
#include "fsengine/overlay/upper_plan.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "fsengine/base/paths.h"

namespace ovl {
namespace {

// Paths of directories in the lowers, computed when first asked for.
class LowerPaths {
 public:
  explicit LowerPaths(Tree lower) : lower_(lower) {}

  std::string path(NodeId directory) {
    if (places_.empty())
      walk();
    std::vector<std::string_view> names;
    for (NodeId at = directory; at != lower_.root; at = places_.at(at).parent)
      names.push_back(places_.at(at).name);
    return "/" + path_of(names);
  }

 private:
  struct Place {
    NodeId parent;
    std::string_view name;
  };

  void walk() {
    places_[lower_.root] = {lower_.root, ""};
    std::vector<NodeId> todo{lower_.root};
    while (!todo.empty()) {
      const NodeId parent = todo.back();
      todo.pop_back();
      for (const Entry& entry : lower_.pool.entries(parent)) {
        if (!lower_.pool[entry.node].is_dir())
          continue;
        places_[entry.node] = {parent, lower_.pool.name(entry)};
        todo.push_back(entry.node);
      }
    }
  }

  const Tree lower_;
  std::unordered_map<NodeId, Place> places_;
};

class Planner {
 public:
  Planner(const PlanInput& input, bool visit_all)
      : input_(input),
        pool_(input.guest.pool),
        visit_all_(visit_all),
        lower_paths_(input.lower) {}

  void run() {
    WantedDir root;
    root.node = input_.guest.root;
    root.lower = input_.lower.root;
    root.kept = true;
    dirs_.push_back(std::move(root));
    for (uint32_t i = 0; i < dirs_.size(); ++i)
      visit(i);
    for (uint32_t i = static_cast<uint32_t>(dirs_.size()); i-- > 0;)
      settle(i);
  }

  bool copies_in_full() const { return copies_in_full_; }
  UpperPlan take() { return {std::move(dirs_), {}}; }

 private:
  void visit(uint32_t index) {
    for (const Entry& entry : pool_.entries(dirs_[index].node)) {
      const NodeId lower = lower_child(index, pool_.name(entry));
      if (pool_[entry.node].is_dir())
        visit_dir(index, entry, lower);
      else
        visit_file(index, entry, lower);
    }
  }

  void visit_file(uint32_t index, const Entry& entry, NodeId lower) {
    if (!is_unchanged_lower(entry.node, lower))
      needed_.insert(entry.node);
    WantedName wanted{pool_.name(entry), WantedName::Kind::kFile, entry.node,
                      0};
    wanted.hides_lower =
        lower != kNoNode && lower != layer_object(pool_, entry.node);
    dirs_[index].names.push_back(wanted);
  }

  void visit_dir(uint32_t index, const Entry& entry, NodeId lower) {
    const Node& node = pool_[entry.node];
    const bool untouched = node.origin == Origin::kLayer && !visit_all_;
    const NodeId part = lower_part(entry.node);
    const bool in_place = part != kNoNode && part == lower;
    const bool kept = is_kept(index, entry);
    if (untouched && in_place && !is_upper_object(pool_, entry.node))
      return;
    WantedName wanted{pool_.name(entry), WantedName::Kind::kKeep, entry.node,
                      0};
    if (!untouched || !kept) {
      wanted.kind = WantedName::Kind::kDir;
      wanted.dir = static_cast<uint32_t>(dirs_.size());
      add_dir(index, entry, part, in_place, kept);
    }
    dirs_[index].names.push_back(wanted);
  }

  void add_dir(uint32_t parent, const Entry& entry, NodeId part, bool in_place,
               bool kept) {
    const NodeId object = layer_object(pool_, entry.node);
    const bool redirected = kept && pool_[object].has_redirect;
    const bool through = in_place || input_.redirect_dir || redirected;
    WantedDir dir;
    dir.node = entry.node;
    dir.parent = parent;
    dir.name = pool_.name(entry);
    dir.kept = kept;
    dir.lower = through ? part : kNoNode;
    dir.opaque = dir.lower == kNoNode && dirs_[parent].lower != kNoNode;
    if (dir.lower != kNoNode && !in_place)
      dir.redirect = lower_paths_.path(part);
    copies_in_full_ |= part != kNoNode && !through;
    dirs_.push_back(std::move(dir));
  }

  // Drops what shows through by itself, and adds what must be hidden. From
  // the last directory to the first, so that children are settled before.
  void settle(uint32_t index) {
    WantedDir& dir = dirs_[index];
    std::erase_if(dir.names, [this](const WantedName& wanted) {
      if (wanted.kind == WantedName::Kind::kFile)
        return !needed_.contains(wanted.node);
      return wanted.kind == WantedName::Kind::kDir && !dirs_[wanted.dir].wanted;
    });
    if (dir.lower != kNoNode)
      add_whiteouts(dir);
    dir.wanted = index == 0 || !shows_through(dir);
  }

  void add_whiteouts(WantedDir& dir) {
    for (const Entry& entry : pool_.entries(dir.lower))
      if (pool_.child(dir.node, pool_.name(entry)) == kNoNode)
        dir.names.push_back(
            {pool_.name(entry), WantedName::Kind::kWhiteout, kNoNode, 0});
  }

  bool shows_through(const WantedDir& dir) const {
    return dir.lower != kNoNode && dir.redirect.empty() && dir.names.empty() &&
           same_carried_attributes(pool_[dir.node], pool_[dir.lower],
                                   input_.owner);
  }

  // Does upper have this very directory under this name already?
  bool is_kept(uint32_t parent, const Entry& entry) const {
    const NodeId object = layer_object(pool_, entry.node);
    if (!dirs_[parent].kept || !is_upper_object(pool_, object))
      return false;
    return pool_[object].host_dir == layer_object(pool_, dirs_[parent].node) &&
           pool_.strings.get(pool_[object].host_name) == pool_.name(entry);
  }

  bool is_unchanged_lower(NodeId id, NodeId lower) const {
    if (id == lower)
      return true;
    const Node& node = pool_[id];
    return node.origin == Origin::kGuest && lower != kNoNode &&
           node.source == lower && !node.content_changed &&
           same_carried_attributes(node, pool_[lower], input_.owner);
  }

  NodeId lower_part(NodeId directory) const {
    const NodeId object = layer_object(pool_, directory);
    return is_upper_object(pool_, object) ? pool_[object].lower : object;
  }

  NodeId lower_child(uint32_t index, std::string_view name) const {
    const NodeId lower = dirs_[index].lower;
    return lower == kNoNode ? kNoNode : pool_.child(lower, name);
  }

  const PlanInput& input_;
  const NodePool& pool_;
  const bool visit_all_;
  LowerPaths lower_paths_;
  std::vector<WantedDir> dirs_;
  std::unordered_set<NodeId> needed_;
  bool copies_in_full_ = false;
};

}  // namespace

std::string UpperPlan::path(uint32_t index) const {
  std::vector<std::string_view> names;
  for (; index != 0; index = dirs[index].parent)
    names.push_back(dirs[index].name);
  return path_of(names);
}

UpperPlan plan_upper(const PlanInput& input) {
  Planner planner(input, false);
  planner.run();
  if (!planner.copies_in_full())
    return planner.take();
  Planner thorough(input, true);
  thorough.run();
  return thorough.take();
}

NodeId layer_object(const NodePool& pool, NodeId node) {
  return pool[node].origin == Origin::kGuest ? pool[node].source : node;
}

bool is_upper_object(const NodePool& pool, NodeId node) {
  return node != kNoNode && pool[node].origin == Origin::kLayer &&
         pool[node].layer == 0;
}

bool keeps_upper_object(const NodePool& pool, NodeId id) {
  const NodeId object = layer_object(pool, id);
  const Node& node = pool[id];
  if (!is_upper_object(pool, object) || node.content_changed)
    return false;
  const Node& old = pool[object];
  if ((old.marks & kMarkMetacopy) && node.origin == Origin::kGuest)
    return false;
  return (old.mode & S_IFMT) == (node.mode & S_IFMT) &&
         (!node.is_device() || old.rdev == node.rdev);
}

bool same_carried_attributes(const Node& a, const Node& b, OwnerPolicy owner) {
  Node other = b;
  if (owner == OwnerPolicy::kSquash) {
    other.uid = a.uid;
    other.gid = a.gid;
  }
  if (a.is_symlink() && b.is_symlink())
    other.mode = a.mode;
  return same_attributes(a, other);
}

}  // namespace ovl
