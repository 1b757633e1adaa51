// SPDX-License-Identifier: BSD-3-Clause
//
// The kernel looks a name up through all layers at once. Folding the layers
// from the lowest upwards, one over the finished tree of those below, gives
// the same answers, because all that a layer says is about the layers below
// it: a whiteout hides the name there, opaque hides the directory there, and
// a redirect names a path there, whose own whiteouts, opaques and redirects
// are settled already. And it gives the tree of the lowers alone on the way,
// which layout and write-back need.
//
// Directories are merged from a worklist, not by recursion: their depth is
// the layer's to choose.
#include "fsengine/overlay/merge.h"

#include <cerrno>
#include <unordered_set>
#include <vector>

#include "fsengine/base/paths.h"

namespace ovl {
namespace {

class Merger {
 public:
  Merger(const Layer& layer, NodeId below, const MergeContext& context)
      : layer_(layer),
        family_(context.family),
        pool_(context.pool),
        below_(below),
        data_(context.data) {}

  Result<NodeId> run(NodeId top) {
    todo_.push_back({top, below_});  // opaque and redirect of a root are void
    while (!todo_.empty()) {
      const Pair pair = todo_.back();
      todo_.pop_back();
      OVL_TRY(merge_directory(pair));
    }
    if (redirected_)
      OVL_TRY(refuse_shared_directories(top));
    return top;
  }

 private:
  struct Pair {
    NodeId top;
    NodeId lower;  // a directory, or kNoNode
  };

  Status merge_directory(Pair pair) {
    pool_.mutable_node(pair.top).lower = pair.lower;
    std::vector<Entry> merged;
    for (const Entry& entry : pool_.entries(pair.top)) {
      const Node& node = pool_[entry.node];
      if (node.marks & kMarkWhiteout)
        continue;
      if (node.is_dir())
        todo_.push_back(
            {entry.node, OVL_TRY(lower_of(node, pair.lower, entry))});
      if (node.marks & kMarkMetacopy)
        OVL_TRY(find_data(entry, pair.lower));
      merged.push_back(entry);
    }
    if (pair.lower != kNoNode)
      add_unhidden(pair, merged);
    if (pair.lower != kNoNode || merged.size() != pool_[pair.top].entry_count)
      pool_.set_entries(pair.top, std::move(merged));
    return {};
  }

  void add_unhidden(Pair pair, std::vector<Entry>& merged) {
    for (const Entry& entry : pool_.entries(pair.lower))
      if (pool_.child(pair.top, pool_.name(entry)) == kNoNode)
        merged.push_back(entry);
  }

  // The directory that `node`, in a directory over `parent_lower`, is over.
  Result<NodeId> lower_of(const Node& node, NodeId parent_lower,
                          const Entry& entry) {
    const bool lowest = below_ == kNoNode;
    if (lowest || (node.marks & kMarkOpaque))
      return kNoNode;
    const NodeId found = OVL_TRY(find_below(node, parent_lower, entry));
    return found != kNoNode && pool_[found].is_dir() ? found : kNoNode;
  }

  // What `node` redirects to in the tree below, or what has its own name.
  Result<NodeId> find_below(const Node& node, NodeId parent_lower,
                            const Entry& entry) {
    if (node.has_redirect)
      return follow_redirect(node, parent_lower);
    if (parent_lower == kNoNode)
      return kNoNode;
    return pool_.child(parent_lower, pool_.name(entry));
  }

  Status find_data(const Entry& entry, NodeId parent_lower) {
    Node& node = pool_.mutable_node(entry.node);
    NodeId found = kNoNode;
    if (below_ != kNoNode)
      found = OVL_TRY(find_below(node, parent_lower, entry));
    if (found == kNoNode || !pool_[found].is_regular())
      found = OVL_TRY(find_in_data_layers(node));
    if (found == kNoNode)
      return bad(node, "metacopy file without data", EIO);
    const Node& lower = pool_[found];
    node.source = lower.marks & kMarkMetacopy ? lower.source : found;
    const Node& data = pool_[node.source];
    node.holes = data.size == node.size ? data.holes : HoleMapId{};
    return {};
  }

  Result<NodeId> find_in_data_layers(const Node& node) {
    const std::string_view to =
        node.has_redirect ? pool_.strings.get(node.redirect) : "";
    return to.starts_with('/') ? data_.find(to.substr(1)) : kNoNode;
  }

  Result<NodeId> follow_redirect(const Node& node, NodeId parent_lower) {
    const std::string_view to = pool_.strings.get(node.redirect);
    if (family_ == XattrFamily::kUser)
      return bad(node, "redirects cannot be followed with userxattr", EPERM);
    redirected_ |= node.is_dir();
    if (to.starts_with('/'))
      return walk_from_root(node, to.substr(1));
    if (to.empty() || to.find('/') != to.npos)
      return bad(node, "malformed redirect \"" + std::string(to) + "\"");
    return parent_lower == kNoNode ? kNoNode : pool_.child(parent_lower, to);
  }

  Result<NodeId> walk_from_root(const Node& node, std::string_view path) {
    NodeId at = below_;
    for (bool last = false; !last;) {
      const size_t slash = path.find('/');
      last = slash == path.npos;
      const std::string_view component = path.substr(0, slash);
      if (component.empty())
        return bad(node, "malformed redirect with an empty component");
      if (component == "." || component == "..")
        return bad(node, "redirect through \"" + std::string(component) + "\"",
                   EACCES);
      if (at != kNoNode)
        at = pool_[at].is_dir() ? pool_.child(at, component) : kNoNode;
      path.remove_prefix(last ? path.size() : slash + 1);
    }
    return at;
  }

  // overlayfs fails with ESTALE on whichever of two directories over one
  // lower is looked up second; no tree can show that.
  Status refuse_shared_directories(NodeId root) {
    std::unordered_set<NodeId> seen;
    std::vector<NodeId> walk{root};
    while (!walk.empty()) {
      const Node& node = pool_[walk.back()];
      if (!seen.insert(walk.back()).second ||
          (node.lower != kNoNode && !seen.insert(node.lower).second))
        return fail(ESTALE, join_path(layer_.name(), host_path(pool_, node)) +
                                ": a redirect shows this directory twice");
      walk.pop_back();
      for (const Entry& entry : pool_.entries(node))
        if (pool_[entry.node].is_dir())
          walk.push_back(entry.node);
    }
    return {};
  }

  tl::unexpected<Error> bad(const Node& node, const std::string& why,
                            int code = EINVAL) {
    return fail(code,
                join_path(layer_.name(), host_path(pool_, node)) + ": " + why);
  }

  const Layer& layer_;
  const XattrFamily family_;
  NodePool& pool_;
  const NodeId below_;
  DataLayers& data_;
  std::vector<Pair> todo_;
  bool redirected_ = false;
};

}  // namespace

Result<NodeId> merge_layer(const Layer& layer, NodeId top, NodeId below,
                           const MergeContext& context) {
  return Merger(layer, below, context).run(top);
}

}  // namespace ovl
