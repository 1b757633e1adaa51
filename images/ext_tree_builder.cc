// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_tree_builder.h"

#include <algorithm>
#include <cerrno>

#include "images/ext_children.h"

namespace ovl {

namespace {

class GuestTreeBuilder {
 public:
  GuestTreeBuilder(const ExtReaderInput& input, const ExtScan& scan,
                   const ExtLinks& links)
      : input_(input),
        scan_(scan),
        links_(links),
        nodes_(scan.inodes.size(), kNoNode) {}

  Result<Tree> run();

 private:
  bool is_source_kept(uint32_t index) const;
  Result<NodeId> add_node(uint32_t index);
  Status build_directory(uint32_t index);
  Result<Entry> entry_of(const Child& child);
  bool has_entries_of_source(NodeId source,
                             const std::vector<Entry>& entries) const;

  const ExtReaderInput& input_;
  const ExtScan& scan_;
  const ExtLinks& links_;
  std::vector<NodeId> nodes_;  // of each inode
};

Result<Tree> GuestTreeBuilder::run() {
  for (uint32_t index = 0; index < nodes_.size(); ++index) {
    const FoundInode& inode = scan_.inodes[index];
    if (inode.is_dir())
      continue;
    nodes_[index] =
        is_source_kept(index) ? inode.source : OVL_TRY(add_node(index));
  }
  for (auto at = links_.order.rbegin(); at != links_.order.rend(); ++at)
    OVL_TRY(build_directory(*at));
  return Tree{input_.pool, nodes_[links_.order.front()]};
}

// Nothing differs, and the names are those that the merged tree has.
bool GuestTreeBuilder::is_source_kept(uint32_t index) const {
  const FoundInode& inode = scan_.inodes[index];
  return inode.source != kNoNode && inode.changed == kNone &&
         inode.same_links && links_.same_names[index] == inode.links;
}

Result<NodeId> GuestTreeBuilder::add_node(uint32_t index) {
  if (input_.pool.size() >= to_int(kNoNode))
    return fail(ENOMEM, "too many objects");
  const FoundInode& inode = scan_.inodes[index];
  if (inode.changed != kNone)
    return input_.pool.add(scan_.changed[inode.changed]);
  return input_.pool.add(
      newer_state(input_.pool, inode.source, to_int(inode.ino)));
}

Status GuestTreeBuilder::build_directory(uint32_t index) {
  const std::vector<Child> children =
      OVL_TRY(children_of(input_, scan_, index));
  std::vector<Entry> entries;
  entries.reserve(children.size());
  for (const Child& child : children) {
    const Entry entry = OVL_TRY(entry_of(child));
    entries.push_back(entry);
  }
  const FoundInode& inode = scan_.inodes[index];
  if (inode.changed == kNone && inode.source != kNoNode &&
      has_entries_of_source(inode.source, entries)) {
    nodes_[index] = inode.source;
    return {};
  }
  nodes_[index] = OVL_TRY(add_node(index));
  input_.pool.set_entries(nodes_[index], std::move(entries));
  return {};
}

Result<Entry> GuestTreeBuilder::entry_of(const Child& child) {
  const NodeId node = nodes_[child.inode];
  if (child.kept.has_value())
    return Entry{*child.kept, node};
  if (input_.pool.strings.full())
    return fail(ENOMEM, "too many names");
  return Entry{input_.pool.strings.add(child.name), node};
}

// A name that the source has too has the source's reference.
bool GuestTreeBuilder::has_entries_of_source(
    NodeId source, const std::vector<Entry>& entries) const {
  return std::ranges::equal(entries, input_.pool.entries(source),
                            [](const Entry& a, const Entry& b) {
                              return a.name == b.name && a.node == b.node;
                            });
}

}  // namespace

Result<Tree> build_guest_tree(const ExtReaderInput& input, const ExtScan& scan,
                              const ExtLinks& links) {
  return GuestTreeBuilder(input, scan, links).run();
}

}  // namespace ovl
