// SPDX-License-Identifier: BSD-3-Clause
#include "images/layout.h"

#include <algorithm>

#include "images/inode_record.h"

namespace ovl {

Layout::Layout(const NodePool& pool, LayoutTables tables)
    : pool_(pool), tables_(std::move(tables)) {}

uint32_t Layout::live_slot(Ino ino) const {
  if (to_int(ino) >= tables_.slot_of_ino.size())
    return kNoSlot;
  const uint32_t slot = tables_.slot_of_ino[to_int(ino)];
  return slot != kNoSlot && tables_.slots[slot].links > 0 ? slot : kNoSlot;
}

uint32_t Layout::slot_of(NodeId node) const {
  if (to_int(node) >= tables_.slot_of_node.size())
    return kNoSlot;
  return tables_.slot_of_node[to_int(node)];
}

uint32_t Layout::live_slot(NodeId node) const {
  const uint32_t slot = slot_of(node);
  return slot != kNoSlot && tables_.slots[slot].links > 0 ? slot : kNoSlot;
}

Ino Layout::last_ino() const {
  return Ino{static_cast<uint32_t>(tables_.slot_of_ino.size() - 1)};
}

uint32_t Layout::blocks_of(uint32_t slot) const {
  uint32_t end = 0;
  if (slot + 1 == tables_.lower.slots_end)
    end = tables_.lower.slots_end_position;
  else if (slot + 1 == tables_.upper.slots_end)
    end = tables_.upper.slots_end_position;
  else
    end = tables_.slots[slot + 1].position;
  return end - tables_.slots[slot].position;
}

FileMap Layout::file_map(uint32_t slot) const {
  const Node& object = node(slot);
  if (object.is_dir())
    return FileMap::dense(directory(slot).blocks, type());
  if (object.is_symlink())
    return FileMap::dense(blocks_of(slot), type());
  if (!object.is_regular())
    return FileMap::dense(0, type());
  if (object.holes == HoleMapId{} || !pool_.hole_maps.get(object.holes).sparse)
    return FileMap::dense(static_cast<uint32_t>(blocks_for(object.size)),
                          type());
  const auto [first, end] =
      tables_.hole_runs[static_cast<uint32_t>(object.holes)];
  return FileMap(std::span(tables_.ranked_runs).subspan(first, end - first),
                 type());
}

const DirRecord& Layout::directory(uint32_t slot) const {
  return *std::ranges::lower_bound(tables_.directories, slot, {},
                                   &DirRecord::slot);
}

const HashedDirectory* Layout::hashed_directory(uint32_t slot) const {
  const auto& all = tables_.hashed_directories;
  const auto at = std::ranges::lower_bound(
      all, slot, {}, [](const auto& each) { return each.first; });
  return at != all.end() && at->first == slot ? &at->second : nullptr;
}

std::span<const Entry> Layout::entries_of_block(const DirRecord& directory,
                                                uint32_t block) const {
  const auto all = pool_.entries(tables_.slots[directory.slot].node);
  const auto start = [&](uint32_t at) {
    return at == 0 ? 0 : tables_.dir_starts[directory.starts + at - 1];
  };
  const size_t first = start(block);
  const size_t end =
      block + 1 == directory.blocks ? all.size() : start(block + 1);
  return all.subspan(first, end - first);
}

std::optional<uint32_t> Layout::xattr_block_of(uint32_t slot) const {
  const auto use =
      std::ranges::lower_bound(tables_.xattr_uses, slot, {}, &XattrUse::slot);
  if (use == tables_.xattr_uses.end() || use->slot != slot)
    return std::nullopt;
  return use->block;
}

uint32_t Layout::xattr_position(uint32_t index) const {
  const LayoutPart& lower = tables_.lower;
  if (index < lower.xattr_blocks_end)
    return lower.slots_end_position + index;
  return tables_.upper.slots_end_position + index - lower.xattr_blocks_end;
}

Layout::Owner Layout::owner_of(uint32_t position) const {
  const LayoutPart& lower = tables_.lower;
  const LayoutPart& upper = tables_.upper;
  if (position < lower.slots_end_position)
    return slot_at(0, lower.slots_end, position);
  if (position < lower.end_position)
    return {Owner::Kind::kXattrBlock, position - lower.slots_end_position, 0,
            1};
  if (position < upper.slots_end_position)
    return slot_at(lower.slots_end, upper.slots_end, position);
  return {Owner::Kind::kXattrBlock,
          lower.xattr_blocks_end + position - upper.slots_end_position, 0, 1};
}

// Of the slots that begin at one position, the last is the one with blocks.
Layout::Owner Layout::slot_at(uint32_t first, uint32_t end,
                              uint32_t position) const {
  const auto among = slots().subspan(first, end - first);
  const auto after =
      std::ranges::upper_bound(among, position, {}, &Slot::position);
  const auto index = first + static_cast<uint32_t>(after - among.begin()) - 1;
  const uint32_t offset = position - slot(index).position;
  return {Owner::Kind::kSlot, index, offset, blocks_of(index) - offset};
}

}  // namespace ovl
