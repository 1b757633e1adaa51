// SPDX-License-Identifier: BSD-3-Clause
//
// Two walks. The first numbers the lower tree. The second goes through the
// merged tree, counts links, and gives slots to what it meets for the first
// time; what it does not meet stays hidden. Only then is it known which
// positions are free.
#include "images/layout_builder.h"

#include <algorithm>
#include <cerrno>

#include "images/block_counter.h"
#include "images/inode_record.h"
#include "images/tree_path.h"
#include "images/xattr_table.h"

namespace ovl {

namespace {

constexpr uint32_t kSeen = 1;  // links of a directory that is still to visit

class LayoutBuilder {
 public:
  LayoutBuilder(Tree lower, Tree merged, FsType type)
      : pool_(lower.pool),
        lower_(lower),
        merged_(merged),
        blocks_(lower.pool, tables_),
        xattrs_(lower.pool, tables_) {
    tables_.type = type;
  }

  Result<Layout> build();

 private:
  Status number_lower();
  Status number_children(uint32_t slot);
  Status walk_merged();
  Status visit_merged(uint32_t slot);
  Result<uint32_t> merged_slot(NodeId id, Ino parent);
  void keep_directory(uint32_t slot, Ino parent);
  Ino ino_of_merged(const Node& node);

  Result<uint32_t> add_slot(NodeId id, Ino ino, Ino parent);
  void set_slot_of(Ino ino, uint32_t slot);

  Status end_part(LayoutPart& part);
  Status check_links() const;
  void find_free_ranges();
  void add_free(uint32_t position, uint32_t count);
  Error at_path(NodeId node, const Error& error) const;

  uint32_t take_ino() { return next_ino_++; }

  const NodePool& pool_;
  Tree lower_;
  Tree merged_;
  LayoutTables tables_;
  BlockCounter blocks_;
  XattrTable xattrs_;
  std::vector<uint32_t> to_visit_;  // directories' slots, the next one last
  uint32_t next_ino_ = to_int(kFirstIno);
  uint64_t position_ = 0;
};

Result<Layout> LayoutBuilder::build() {
  tables_.slots.reserve(pool_.size());
  tables_.slot_of_ino.reserve(pool_.size() + to_int(kFirstIno));
  tables_.slot_of_node.assign(pool_.size(), kNoSlot);
  tables_.hole_runs.assign(pool_.hole_maps.size(), {0, 0});
  tables_.slot_of_ino.assign(to_int(kFirstIno), kNoSlot);
  tables_.hash_seed = hash_seed_of(lower_);
  OVL_TRY(number_lower());
  OVL_TRY(end_part(tables_.lower));
  OVL_TRY(walk_merged());
  OVL_TRY(end_part(tables_.upper));
  OVL_TRY(check_links());
  xattrs_.count_users();
  find_free_ranges();
  tables_.slots.shrink_to_fit();
  tables_.slot_of_ino.shrink_to_fit();
  return Layout(pool_, std::move(tables_));
}

Status LayoutBuilder::number_lower() {
  to_visit_.push_back(OVL_TRY(add_slot(lower_.root, kRootIno, kRootIno)));
  while (!to_visit_.empty()) {
    const uint32_t slot = to_visit_.back();
    to_visit_.pop_back();
    OVL_TRY(number_children(slot));
  }
  return {};
}

Status LayoutBuilder::number_children(uint32_t slot) {
  const Ino parent = tables_.slots[slot].ino;
  const auto first = static_cast<std::ptrdiff_t>(to_visit_.size());
  for (const Entry& entry : pool_.entries(tables_.slots[slot].node)) {
    if (tables_.slot_of_node[to_int(entry.node)] != kNoSlot)
      continue;
    const uint32_t child =
        OVL_TRY(add_slot(entry.node, Ino{take_ino()}, parent));
    if (pool_[entry.node].is_dir())
      to_visit_.push_back(child);
  }
  std::reverse(to_visit_.begin() + first, to_visit_.end());
  return {};
}

Status LayoutBuilder::walk_merged() {
  to_visit_.push_back(OVL_TRY(merged_slot(merged_.root, kRootIno)));
  while (!to_visit_.empty()) {
    const uint32_t slot = to_visit_.back();
    to_visit_.pop_back();
    OVL_TRY(visit_merged(slot));
  }
  return {};
}

Status LayoutBuilder::visit_merged(uint32_t slot) {
  const Ino ino = tables_.slots[slot].ino;
  const auto first = static_cast<std::ptrdiff_t>(to_visit_.size());
  uint32_t links = 2;
  for (const Entry& entry : pool_.entries(tables_.slots[slot].node)) {
    const uint32_t child = OVL_TRY(merged_slot(entry.node, ino));
    if (!pool_[entry.node].is_dir()) {
      ++tables_.slots[child].links;
      continue;
    }
    ++links;
    to_visit_.push_back(child);
  }
  tables_.slots[slot].links = links;
  std::reverse(to_visit_.begin() + first, to_visit_.end());
  return {};
}

Result<uint32_t> LayoutBuilder::merged_slot(NodeId id, Ino parent) {
  const uint32_t known = tables_.slot_of_node[to_int(id)];
  const bool is_new = known == kNoSlot;
  const uint32_t slot =
      is_new ? OVL_TRY(add_slot(id, ino_of_merged(pool_[id]), parent)) : known;
  if (!pool_[id].is_dir())
    return slot;
  if (tables_.slots[slot].links > 0)
    return tl::unexpected(
        at_path(id, Error(EINVAL, "a directory with two names")));
  tables_.slots[slot].links = kSeen;
  if (!is_new)
    keep_directory(slot, parent);
  return slot;
}

// A directory of the lower tree is in the merged one as it is. Two places
// show it when upper redirects another directory to it as well, which may
// have taken its number.
void LayoutBuilder::keep_directory(uint32_t slot, Ino parent) {
  std::ranges::lower_bound(tables_.directories, slot, {}, &DirRecord::slot)
      ->parent = parent;
  Ino& ino = tables_.slots[slot].ino;
  if (tables_.slot_of_ino[to_int(ino)] != slot) {
    ino = Ino{take_ino()};
    set_slot_of(ino, slot);
  }
}

// That of the lower directory that `node` is merged with, unless it has
// another slot in the merged tree.
Ino LayoutBuilder::ino_of_merged(const Node& node) {
  if (&node == &pool_[merged_.root])
    return kRootIno;
  if (!node.is_dir() || node.lower == kNoNode)
    return Ino{take_ino()};
  const uint32_t below = tables_.slot_of_node[to_int(node.lower)];
  if (below >= tables_.lower.slots_end)
    return Ino{take_ino()};
  const Ino ino = tables_.slots[below].ino;
  const bool taken = ino == kRootIno || tables_.slots[below].links > 0 ||
                     tables_.slot_of_ino[to_int(ino)] != below;
  return taken ? Ino{take_ino()} : ino;
}

Result<uint32_t> LayoutBuilder::add_slot(NodeId id, Ino ino, Ino parent) {
  const auto slot = static_cast<uint32_t>(tables_.slots.size());
  const Node& node = pool_[id];
  auto blocks = blocks_.count(node, parent);
  if (!blocks)
    return tl::unexpected(at_path(id, blocks.error()));
  tables_.slots.push_back({id, ino, static_cast<uint32_t>(position_), 0});
  tables_.slot_of_node[to_int(id)] = slot;
  set_slot_of(ino, slot);
  auto added = xattrs_.add(slot, node.xattrs);
  if (!added)
    return tl::unexpected(at_path(id, added.error()));
  position_ += *blocks;
  if (position_ > UINT32_MAX)
    return fail(EFBIG, "the tree is larger than an ext2 file system can be");
  return slot;
}

void LayoutBuilder::set_slot_of(Ino ino, uint32_t slot) {
  if (to_int(ino) >= tables_.slot_of_ino.size())
    tables_.slot_of_ino.resize(to_int(ino) + 1, kNoSlot);
  tables_.slot_of_ino[to_int(ino)] = slot;
}

Status LayoutBuilder::end_part(LayoutPart& part) {
  part.slots_end = static_cast<uint32_t>(tables_.slots.size());
  part.slots_end_position = static_cast<uint32_t>(position_);
  const auto before = tables_.lower.xattr_blocks_end;
  part.xattr_blocks_end = static_cast<uint32_t>(tables_.xattr_blocks.size());
  position_ += part.xattr_blocks_end - before;
  if (position_ > UINT32_MAX)
    return fail(EFBIG, "the tree is larger than an ext2 file system can be");
  part.end_position = static_cast<uint32_t>(position_);
  xattrs_.end_part();
  return {};
}

Status LayoutBuilder::check_links() const {
  const bool dir_nlink = tables_.type == FsType::kExt4;
  for (const Slot& slot : tables_.slots)
    if (slot.links > kMaxLinks && !(dir_nlink && pool_[slot.node].is_dir()))
      return tl::unexpected(at_path(
          slot.node, Error(EMLINK, std::to_string(slot.links) +
                                       " links are more than the 65000 that "
                                       "an inode can have")));
  return {};
}

void LayoutBuilder::find_free_ranges() {
  uint32_t xattr_block = 0;
  uint32_t index = 0;
  for (const LayoutPart& part : {tables_.lower, tables_.upper}) {
    for (; index < part.slots_end; ++index) {
      const uint32_t end = index + 1 == part.slots_end
                               ? part.slots_end_position
                               : tables_.slots[index + 1].position;
      const Slot& slot = tables_.slots[index];
      if (slot.links == 0)
        add_free(slot.position, end - slot.position);
    }
    uint32_t position = part.slots_end_position;
    for (; xattr_block < part.xattr_blocks_end; ++xattr_block, ++position)
      if (tables_.xattr_blocks[xattr_block].users == 0)
        add_free(position, 1);
  }
}

void LayoutBuilder::add_free(uint32_t position, uint32_t count) {
  auto& ranges = tables_.free_ranges;
  if (count == 0)
    return;
  if (!ranges.empty() &&
      ranges.back().position + ranges.back().count == position)
    ranges.back().count += count;
  else
    ranges.push_back({position, count});
}

Error LayoutBuilder::at_path(NodeId node, const Error& error) const {
  auto path = find_path(merged_, node);
  if (!path)
    path = find_path(lower_, node);
  return error.in("/" + path.value_or("?"));
}

}  // namespace

Result<Layout> build_layout(Tree lower, Tree merged, FsType type) {
  return LayoutBuilder(lower, merged, type).build();
}

}  // namespace ovl
