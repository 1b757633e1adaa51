// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint while the guest is at work:
//
//   LiveTree   the guest's tree that upper shows, and what of it stands there
//   Changes    the difference to the guest's tree now             (decoding)
//   LiveShape  which names and objects of upper it concerns       (rules)
//   LiveNodes  those objects, as upper or a lower has them, and as they will be
//   here       the plan: directories that are looked at, in them only names
//   that
//              are concerned; files that are patched where they are
//   UpperStage, publish                                           (as ever)
//   LiveTree   takes the changes, and where the new objects stand
//
// The cost is that of the difference: directories on the way to what changed
// are opened, and none is listed.
//
// plan_upper, which derives upper from the whole tree, is what this is checked
// with. They differ in what becomes again what a lower has: here it stays.
#include "fsengine/overlay/live_plan.h"

#include <algorithm>
#include <map>

#include "fsengine/overlay/live_nodes.h"
#include "fsengine/overlay/live_shape.h"

namespace ovl {
namespace {

bool is_dir(const ObjectId& id) {
  return S_ISDIR(id.type);
}

class LivePlanner {
 public:
  LivePlanner(const LiveDelta& delta, const LiveRules& rules,
              const Layer& upper, NodePool& pool)
      : delta_(delta),
        tree_(delta.tree()),
        shape_(delta, rules.redirect_dir),
        nodes_(delta, upper, rules.family, pool),
        pool_(pool) {}

  Result<LivePlan> run() {
    OVL_TRY(find_or_add_dir(tree_.root()));
    for (const auto& [directory, names] : shape_.affected())
      OVL_TRY(add_names(directory, names));
    OVL_TRY(add_patches());
    return std::move(plan_);
  }

 private:
  using Name = LiveTree::Name;

  Result<uint32_t> find_or_add_dir(const ObjectId& directory);
  Status add_dir(const ObjectId& directory);
  void say_what_shows(const ObjectId& directory, WantedDir& dir);
  Status add_names(const ObjectId& directory,
                   const std::set<std::string>& names);
  Result<WantedName> wanted(const Name& name);
  Result<NodeId> file_node(const ObjectId& id);
  Status add_patches();
  std::string_view kept_name(const std::string& name) {
    return pool_.strings.get(pool_.strings.add(name));
  }

  const LiveDelta& delta_;
  const LiveTree& tree_;
  const LiveShape shape_;
  LiveNodes nodes_;
  NodePool& pool_;
  LivePlan plan_;
  std::map<ObjectId, uint32_t> dirs_;  // index in the plan
  std::map<ObjectId, NodeId> files_;
};

// Those above it first. A guest chooses how deep its directories are.
Result<uint32_t> LivePlanner::find_or_add_dir(const ObjectId& directory) {
  std::vector<ObjectId> missing;
  for (ObjectId at = directory; !dirs_.contains(at);) {
    missing.push_back(at);
    if (at == tree_.root())
      break;
    at = delta_.names(at).front().directory;
  }
  for (; !missing.empty(); missing.pop_back())
    OVL_TRY(add_dir(missing.back()));
  return dirs_.at(directory);
}

Status LivePlanner::add_dir(const ObjectId& directory) {
  const bool is_root = directory == tree_.root();
  const LiveTree::Standing standing = tree_.standing(directory);
  WantedDir dir;
  dir.kept = dir.partial = standing.ino != 0;
  dir.moved = dir.kept && !is_root && delta_.is_moved(directory);
  const bool is_read = !dir.kept || dir.moved ||
                       shape_.affected().contains(directory) ||
                       shape_.needed().contains(directory);
  dir.node =
      is_read ? OVL_TRY(nodes_.state(directory)) : nodes_.place(directory);
  dir.lower = shape_.shown(directory);
  if (!is_root) {
    const Name name = delta_.names(directory).front();
    dir.parent = dirs_.at(name.directory);
    dir.name = kept_name(name.name);
    if (!dir.kept || dir.moved || dir.lower != standing.lower)
      say_what_shows(directory, dir);
  }
  dirs_[directory] = static_cast<uint32_t>(plan_.upper.dirs.size());
  plan_.upper.dirs.push_back(std::move(dir));
  return {};
}

void LivePlanner::say_what_shows(const ObjectId& directory, WantedDir& dir) {
  const WantedDir& parent = plan_.upper.dirs[dir.parent];
  LiveTree::Standing standing = tree_.standing(directory);
  dir.opaque = dir.lower == kNoNode && parent.lower != kNoNode;
  if (dir.lower != kNoNode && !shape_.is_in_place(directory))
    dir.redirect = tree_.lower_path(dir.lower);
  standing.lower = dir.lower;
  standing.is_redirected |= !dir.redirect.empty();
  plan_.placed.push_back({directory, dir.node, standing});
}

Status LivePlanner::add_names(const ObjectId& directory,
                              const std::set<std::string>& names) {
  const uint32_t index = OVL_TRY(find_or_add_dir(directory));
  const bool is_new = !plan_.upper.dirs[index].kept;
  for (const std::string& name : names) {
    WantedName what = OVL_TRY(wanted({directory, name}));
    if (!is_new || what.kind != WantedName::Kind::kNothing)
      plan_.upper.dirs[index].names.push_back(what);
  }
  return {};
}

Result<WantedName> LivePlanner::wanted(const Name& name) {
  using Kind = WantedName::Kind;
  WantedName out;
  out.name = kept_name(name.name);
  out.kind = Kind::kNothing;
  if (const auto before = tree_.child(name.directory, name.name))
    out.ino_before = tree_.standing(*before).ino;
  const auto id = delta_.child(name);
  const NodeId lower = shape_.lower_child(name);
  out.hides_lower =
      lower != kNoNode && !(id && tree_.standing(*id).lower == lower);
  if (!id || tree_.standing(*id).is_absent)
    return out.without_object();
  if (!shape_.stands(*id)) {
    return out;  // a lower shows it
  } else if (is_dir(*id)) {
    out.kind = Kind::kDir;
    out.dir = OVL_TRY(find_or_add_dir(*id));
    out.node = plan_.upper.dirs[out.dir].node;
  } else {
    out.kind = Kind::kFile;
    out.node = OVL_TRY(file_node(*id));
  }
  return out;
}

Result<NodeId> LivePlanner::file_node(const ObjectId& id) {
  if (const auto at = files_.find(id); at != files_.end())
    return at->second;
  const bool is_remade = shape_.is_remade(id);
  const NodeId node = OVL_TRY(nodes_.state(
      id, is_remade ? LiveNodes::Making::kRemade : LiveNodes::Making::kKept));
  files_[id] = node;
  LiveTree::Standing standing = tree_.standing(id);
  if (standing.ino == 0 || is_remade) {
    standing.ino = 0;
    standing.lower = kNoNode;
    plan_.placed.push_back({id, node, standing});
  }
  return node;
}

Status LivePlanner::add_patches() {
  for (const ObjectChange& change : delta_.changes().objects) {
    const bool is_patched = change.kind == ObjectChange::Kind::kChanged &&
                            change.content && !shape_.is_remade(change.id) &&
                            tree_.standing(change.id).ino != 0;
    if (!is_patched)
      continue;
    const Name name = delta_.names(change.id).front();
    plan_.upper.patches.push_back({OVL_TRY(file_node(change.id)),
                                   OVL_TRY(find_or_add_dir(name.directory)),
                                   kept_name(name.name), *change.content});
  }
  return {};
}

}  // namespace

Result<LivePlan> plan_live(const LiveDelta& delta, const LiveRules& rules,
                           const Layer& upper, NodePool& pool) {
  return LivePlanner(delta, rules, upper, pool).run();
}

}  // namespace ovl
