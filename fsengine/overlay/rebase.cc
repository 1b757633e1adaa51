// SPDX-License-Identifier: BSD-3-Clause
//
// Three trees over one set of lowers:
//
//   base     upper as it was when the image was laid out. Its upper objects
//            may be anywhere by now, or gone: what they gave is in the store.
//   guest    the device, told in terms of base: "base's file u with another
//            mode", "lower directory D, moved", "a new file".
//   merged   upper as it is now. An earlier write-back made it from an earlier
//            guest, so most of what the guest made stands there already.
//
// plan_upper wants the guest in terms of merged. What carries over is what
// does not change with upper: the lowers' nodes, and which lower directory a
// directory is over (its lower part). The rest is found again:
//
//   a directory      is merged's at the same path when that is over the same
//                    lower directory, or both over none: its attributes
//                    settle in place. Otherwise only its lower part is known
//                    of it, and the plan makes it, with a redirect or opaque.
//                    A lower directory that is copied in full, because it
//                    moved and there are no redirects, is over none.
//   another object   1 is its lower object if that shows through under every
//                      name and nothing differs, whatever upper has there;
//                    2 or the object of upper that the caller knows it to be;
//                    3 or one that merged has under one of its names, with
//                      the same value: type, target, device number; size,
//                      holes and bytes, by reading both;
//                    4 or, for a file, one of the same value and time that
//                      merged has anywhere, and nobody else took;
//                    5 or is made anew, in full.
//
// Each object of upper is taken by at most one of the guest's, or two files of
// the guest would become one: what is known (2) goes before what only looks
// alike (3, 4). All names of a guest's object lead to one node, so a hard link
// is never split.
//
// A node whose attributes, and a directory whose entries, are those of what
// it was found to be is that very node. So a guest that did nothing since the
// last write-back yields merged's root. Sameness is sought in two ways:
//
//            base's node in the guest   merged's node at its path
//   going down:   the same node  -> same below, nothing to look at
//                 a lower's node that shows through whole -> the same
//   coming up:    entries and attributes equal -> merged's node
//
// As in plan_upper, the walk leaves out what the guest did not touch, and as
// there, a lower directory copied in full needs the whole tree, for a hard
// link whose other names lie elsewhere. Both must agree on what shows through
// a directory; the rule is plan_upper's.
//
// Rejected: to log for each write-back what became of each object, and to
// trust it. It saves comparing, but is one more state to keep durable and in
// step with upper, and a wrong entry loses data. A comparison can only cost.
//
// The walk is a worklist: the guest chooses how deep its directories are.
#include "fsengine/overlay/rebase.h"

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "fsengine/overlay/rebase_files.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {
namespace {

bool is_lower_object(const NodePool& pool, NodeId id) {
  return pool[id].origin == Origin::kLayer && pool[id].layer != 0;
}

// Calls visit(entry) for each name in a directory that is not a lower's own:
// elsewhere there are no objects of upper.
template <typename Visit>
void for_names_beside_lowers(const NodePool& pool, NodeId root, Visit visit) {
  std::vector<NodeId> todo{root};
  while (!todo.empty()) {
    const NodeId directory = todo.back();
    todo.pop_back();
    for (const Entry& entry : pool.entries(directory)) {
      visit(entry);
      if (pool[entry.node].is_dir() && !is_lower_object(pool, entry.node))
        todo.push_back(entry.node);
    }
  }
}

class TreeRebase {
 public:
  enum class Extent { kTouched, kAll };

  TreeRebase(const RebaseInput& input, Extent extent)
      : input_(input), pool_(input.pool), extent_(extent), files_(input) {}

  /// Goes down: which directory is which, which names an object has. False
  /// when it took Extent::kAll to see all that matters.
  bool find() {
    find_parts();
    Dir root;
    root.guest = input_.guest;
    root.peer = root.source = input_.merged;
    root.shown = pool_[input_.merged].lower;
    root.kept = true;
    dirs_.push_back(std::move(root));
    for (uint32_t i = 0; i < dirs_.size(); ++i)
      visit(i);
    return extent_ == Extent::kAll || !copies_in_full_;
  }

  /// Comes up again, and returns the root.
  Result<NodeId> build() {
    OVL_TRY(files_.decide(left_out_upper_ ? FileRebase::Search::kPaths
                                          : FileRebase::Search::kAll));
    NodeId root = kNoNode;
    for (uint32_t i = static_cast<uint32_t>(dirs_.size()); i-- > 0;) {
      root = OVL_TRY(finish(dirs_[i]));
      if (i != 0)
        dirs_[dirs_[i].parent].nodes[dirs_[i].slot] = root;
    }
    return root;
  }

 private:
  struct Dir {
    NodeId guest = kNoNode;
    NodeId peer = kNoNode;    // where to look for what its names were
    NodeId source = kNoNode;  // what it is in terms of merged
    NodeId shown = kNoNode;   // the lower directory that shows through it
    bool kept = false;        // source is upper's directory at this very place
    uint32_t parent = 0;
    uint32_t slot = 0;          // in its parent's names
    std::vector<NodeId> nodes;  // of its names; none: decided on the way up
  };

  void find_parts() {
    for_names_beside_lowers(pool_, input_.merged, [this](const Entry& entry) {
      const Node& node = pool_[entry.node];
      if (node.is_dir() && is_upper_object(pool_, entry.node) &&
          node.lower != kNoNode)
        by_part_[node.lower] = entry.node;
    });
  }

  void visit(uint32_t index) {
    const auto entries = pool_.entries(dirs_[index].guest);
    dirs_[index].nodes.resize(entries.size(), kNoNode);
    for (uint32_t slot = 0; slot < entries.size(); ++slot) {
      const Entry& entry = entries[slot];
      const std::string_view name = pool_.name(entry);
      const NodeId lower = child(dirs_[index].shown, name);
      const NodeId peer = child(dirs_[index].peer, name);
      if (!pool_[entry.node].is_dir())
        files_.add_name(entry.node, lower, peer);
      else
        visit_dir(place(index, slot, lower, peer), peer);
    }
  }

  void visit_dir(Dir dir, NodeId peer) {
    const bool same =
        dir.kept ? dir.guest == peer : is_lower_object(pool_, dir.guest);
    if (!same || extent_ == Extent::kAll) {
      dirs_.push_back(std::move(dir));
      return;
    }
    dirs_[dir.parent].nodes[dir.slot] = dir.guest;
    left_out_upper_ |= dir.kept;
  }

  // What the directory under name `slot` of dirs_[parent] is: `lower` and
  // `peer` are what shows through, and what merged has, under that name.
  Dir place(uint32_t parent, uint32_t slot, NodeId lower, NodeId peer) {
    Dir dir;
    dir.guest = pool_.entries(dirs_[parent].guest)[slot].node;
    dir.parent = parent;
    dir.slot = slot;
    const NodeId part = lower_part(dir.guest);
    const bool stands = dirs_[parent].kept && is_upper_object(pool_, peer) &&
                        pool_[peer].is_dir();
    const bool redirected =
        stands && pool_[peer].has_redirect && pool_[peer].lower == part;
    const bool through = part == lower || input_.redirect_dir || redirected;
    dir.shown = through ? part : kNoNode;
    copies_in_full_ |= part != kNoNode && !through;
    dir.kept = stands && pool_[peer].lower == dir.shown;
    dir.source = dir.kept ? peer : part;
    dir.peer = dir.kept ? peer : peer_of(part, peer);
    return dir;
  }

  // A directory that moved has its names where its lower part was.
  NodeId peer_of(NodeId part, NodeId at_path) const {
    if (const auto at = by_part_.find(part); at != by_part_.end())
      return at->second;
    return at_path != kNoNode && pool_[at_path].is_dir() ? at_path : kNoNode;
  }

  NodeId lower_part(NodeId directory) const {
    const NodeId object = layer_object(pool_, directory);
    return is_upper_object(pool_, object) ? pool_[object].lower : object;
  }

  NodeId child(NodeId directory, std::string_view name) const {
    return directory == kNoNode ? kNoNode : pool_.child(directory, name);
  }

  Result<NodeId> finish(Dir& dir) {
    std::vector<Entry> entries;
    entries.reserve(dir.nodes.size());
    for (const Entry& entry : pool_.entries(dir.guest)) {
      const NodeId node = dir.nodes[entries.size()];
      entries.push_back(
          {entry.name, node == kNoNode ? files_.result(entry.node) : node});
    }
    dir.nodes = {};
    if (is_same(dir, entries))
      return dir.source;
    const Node& guest = pool_[dir.guest];
    if (guest.origin == Origin::kGuest && guest.source == dir.source &&
        has_entries(dir.guest, entries))
      return dir.guest;
    return make(dir, std::move(entries));
  }

  bool is_same(const Dir& dir, const std::vector<Entry>& entries) const {
    return dir.source != kNoNode && has_entries(dir.source, entries) &&
           same_carried_attributes(pool_[dir.guest], pool_[dir.source],
                                   input_.owner);
  }

  bool has_entries(NodeId directory, const std::vector<Entry>& entries) const {
    return std::ranges::equal(entries, pool_.entries(directory),
                              [this](const auto& a, const auto& b) {
                                return a.node == b.node &&
                                       pool_.name(a) == pool_.name(b);
                              });
  }

  Result<NodeId> make(const Dir& dir, std::vector<Entry> entries) {
    if (pool_.size() >= to_int(kNoNode))
      return fail(ENOMEM, "too many objects");
    const bool guests = pool_[dir.guest].origin == Origin::kGuest;
    Node node = newer_state(
        pool_, dir.guest,
        guests ? pool_[dir.guest].host_ino : input_.guest_ino(dir.guest));
    node.source = dir.source;
    const NodeId made = pool_.add(node);
    pool_.set_entries(made, std::move(entries));
    return made;
  }

  const RebaseInput& input_;
  NodePool& pool_;
  const Extent extent_;
  FileRebase files_;
  std::vector<Dir> dirs_;                       // parents before children
  std::unordered_map<NodeId, NodeId> by_part_;  // merged's, of upper
  bool copies_in_full_ = false;
  bool left_out_upper_ = false;  // a directory of upper was not looked at
};

Result<NodeId> rebase_tree(const RebaseInput& input) {
  if (input.guest == input.merged)
    return input.merged;
  TreeRebase touched(input, TreeRebase::Extent::kTouched);
  if (touched.find())
    return touched.build();
  TreeRebase all(input, TreeRebase::Extent::kAll);
  all.find();
  return all.build();
}

// From what the plan will do, not from how it was decided.
void sort_out(const RebaseInput& input, Rebased& rebased) {
  const NodePool& pool = input.pool;
  std::unordered_set<NodeId> stays;
  for_names_beside_lowers(pool, rebased.guest.root,
                          [&pool, &stays](const Entry& entry) {
                            if (pool[entry.node].is_regular() &&
                                keeps_upper_object(pool, entry.node))
                              stays.insert(layer_object(pool, entry.node));
                          });
  for (const auto& [object, now] : input.now) {
    if (!is_upper_object(pool, object) || !pool[object].is_regular() ||
        (pool[object].marks & kMarkMetacopy))
      continue;
    (stays.contains(now) ? rebased.kept : rebased.lost).push_back(object);
  }
  std::ranges::sort(rebased.kept);
  std::ranges::sort(rebased.lost);
}

}  // namespace

Result<Rebased> rebase_guest(const RebaseInput& input) {
  const NodeId root = OVL_TRY(rebase_tree(input));
  Rebased rebased{{input.pool, root}, {}, {}};
  sort_out(input, rebased);
  return rebased;
}

std::vector<NodeId> upper_objects(const Tree& tree) {
  std::unordered_set<NodeId> found;
  for_names_beside_lowers(tree.pool, tree.root, [&](const Entry& entry) {
    if (is_upper_object(tree.pool, entry.node) &&
        !tree.pool[entry.node].is_dir())
      found.insert(entry.node);
  });
  std::vector<NodeId> objects(found.begin(), found.end());
  std::ranges::sort(objects);
  return objects;
}

}  // namespace ovl
