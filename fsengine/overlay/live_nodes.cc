// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/live_nodes.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/base/units.h"
#include "fsengine/overlay/layer_node.h"

namespace ovl {

Result<NodeId> LiveNodes::state(const ObjectId& id, Making making) {
  const bool is_in_upper = delta_.tree().standing(id).ino != 0;
  Node node;
  if (is_in_upper) {
    const NodeId old = OVL_TRY(read_upper(id));
    node = newer_state(pool_, old, to_int(id.ino));
    if (making == Making::kRemade) {
      node.source = kNoNode;
      node.content_changed = true;
    }
  } else {
    node = first_state(id);
  }
  if (const ObjectChange* found = delta_.find(id))
    change(*found, node);
  return pool_.add(node);
}

Result<NodeId> LiveNodes::read_upper(const ObjectId& id) {
  NodeId directory = kNoNode;
  std::string path;
  if (const auto names = delta_.tree().names(id); !names.empty()) {
    directory = place(names.front().directory);
    path = join_path(host_path(pool_, pool_[directory]), names.front().name);
  }
  const std::string context = path.empty() ? "upperdir" : "upperdir: " + path;
  auto found = path.empty() ? upper_.root() : upper_.find(path);
  if (!found && found.error().code() == ENOENT)
    return fail(ESTALE, context + ": removed by somebody else");
  const LayerObject object = OVL_TRY(std::move(found).in(context));
  if (object.ino != delta_.tree().standing(id).ino || is_written(id, object))
    return fail(ESTALE, context + ": changed by somebody else");
  return pool_.add(layer_node(object, 0, directory, family_, pool_));
}

// A patch would go into the middle of it. A copy of the guest's file is as good
// as ours: with it the change is undone.
bool LiveNodes::is_written(const ObjectId& id,
                           const LayerObject& object) const {
  const ObjectChange* change = delta_.find(id);
  if (change == nullptr || !change->before)
    return false;
  const FileStamp now{change->content->size, change->attributes.mtime_sec,
                      change->attributes.mtime_nsec};
  const FileStamp found{object.size, object.mtime_sec, object.mtime_nsec};
  return !is_as_left(found, *change->before) && !is_as_left(found, now);
}

// A guest chooses how deep its directories are.
NodeId LiveNodes::place(const ObjectId& directory) {
  const LiveTree& tree = delta_.tree();
  std::vector<LiveTree::Name> missing;
  ObjectId at = directory;
  while (!places_.contains(at) && at != tree.root()) {
    const auto names = tree.names(at);
    if (names.empty())
      break;
    missing.push_back(names.front());
    at = names.front().directory;
  }
  if (!places_.contains(at)) {
    Node root;
    root.mode = S_IFDIR;
    root.lower = kNoNode;
    root.host_ino = tree.standing(at).ino;
    places_[at] = pool_.add(root);
  }
  for (; !missing.empty(); missing.pop_back()) {
    const ObjectId id =
        *tree.child(missing.back().directory, missing.back().name);
    Node node;
    node.mode = S_IFDIR;
    node.lower = kNoNode;
    node.host_ino = tree.standing(id).ino;
    node.host_dir = places_.at(missing.back().directory);
    node.host_name = pool_.strings.add(missing.back().name);
    places_[id] = pool_.add(node);
  }
  return places_.at(directory);
}

// Of what upper has not: a lower's object, or one that the guest made.
Node LiveNodes::first_state(const ObjectId& id) {
  const NodeId lower = delta_.tree().standing(id).lower;
  Node node;
  if (lower != kNoNode)
    node = copy_of(delta_.tree().pool()[lower]);
  node.origin = Origin::kGuest;
  node.mode = static_cast<uint16_t>((node.mode & ~S_IFMT) | id.type);
  node.host_ino = to_int(id.ino);
  node.content_changed = true;
  if (node.is_dir())
    node.lower = kNoNode;
  return node;
}

// What it refers to is in another pool.
Node LiveNodes::copy_of(const Node& node) {
  const NodePool& from = delta_.tree().pool();
  Node copy;
  copy.size = node.size;
  copy.mtime_sec = node.mtime_sec;
  copy.mtime_nsec = node.mtime_nsec;
  copy.uid = node.uid;
  copy.gid = node.gid;
  copy.mode = node.mode;
  copy.flags = node.flags;
  copy.xattrs = pool_.xattrs.intern(from.xattrs.get(node.xattrs));
  if (node.is_symlink())
    copy.target = pool_.strings.add(from.strings.get(node.target));
  else if (node.is_device())
    copy.rdev = node.rdev;
  else if (node.is_regular())
    copy.holes = pool_.hole_maps.intern(from.hole_maps.get(node.holes));
  return copy;
}

void LiveNodes::change(const ObjectChange& change, Node& node) {
  const Attributes& now = change.attributes;
  node.mode = now.mode;
  node.uid = now.uid;
  node.gid = now.gid;
  node.mtime_sec = now.mtime_sec;
  node.mtime_nsec = now.mtime_nsec;
  node.flags = now.flags;
  if (node.is_device())
    node.rdev = now.rdev;
  if (change.xattrs)
    node.xattrs = pool_.xattrs.intern(*change.xattrs);
  if (change.target) {
    node.size = change.target->size();
    node.target = pool_.strings.add(*change.target);
  }
  if (change.content) {
    node.holes = pool_.hole_maps.intern(
        holes_after(data_runs(pool_, node), *change.content));
    node.size = change.content->size;
  }
}

namespace {

uint64_t end_of(const DataRun& run) {
  return uint64_t{run.first_block} + run.blocks;
}

// Adds [first, end), behind all that is there or touching it.
void append(std::vector<DataRun>& runs, uint64_t first, uint64_t end) {
  if (first >= end)
    return;
  if (!runs.empty() && end_of(runs.back()) == first)
    runs.back().blocks += static_cast<uint32_t>(end - first);
  else
    runs.push_back(
        {static_cast<uint32_t>(first), static_cast<uint32_t>(end - first)});
}

}  // namespace

HoleMap holes_after(std::vector<DataRun> before, const ContentChange& change) {
  const uint64_t blocks = blocks_for(change.size);
  HoleMap map;
  auto old = before.begin();
  // What was data up to `end`, and is behind `first`.
  const auto keep = [&](uint64_t first, uint64_t end) {
    for (; old != before.end() && old->first_block < end; ++old) {
      append(map.runs, std::max<uint64_t>(old->first_block, first),
             std::min(end_of(*old), end));
      if (end_of(*old) > end)
        break;
    }
  };
  uint64_t at = 0;
  for (const FileRange& range : change.changed) {
    keep(at, range.first);
    at = range.first + range.count;
    if (!range.is_hole)
      append(map.runs, range.first, std::min(at, blocks));
  }
  keep(at, blocks);
  const bool is_whole =
      map.runs.size() == 1 &&
      map.runs.front() == DataRun{0, static_cast<uint32_t>(blocks)};
  map.sparse = !is_whole && change.size > 0;
  if (!map.sparse)
    map.runs.clear();
  return map;
}

}  // namespace ovl
