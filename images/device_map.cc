// SPDX-License-Identifier: BSD-3-Clause
#include "images/device_map.h"

#include <algorithm>

#include "images/journal.h"

namespace ovl {

namespace {

Piece::Kind kind_of(Region region) {
  switch (region) {
    case Region::kSuperblock:
      return Piece::Kind::kSuperblock;
    case Region::kDescriptors:
      return Piece::Kind::kDescriptors;
    case Region::kBlockBitmap:
      return Piece::Kind::kBlockBitmap;
    case Region::kInodeBitmap:
      return Piece::Kind::kInodeBitmap;
    default:
      return Piece::Kind::kZero;
  }
}

Piece::Kind data_kind(const Node& node) {
  if (node.is_dir())
    return Piece::Kind::kDirectory;
  return node.is_symlink() ? Piece::Kind::kSymlink : Piece::Kind::kFile;
}

}  // namespace

DeviceMap::DeviceMap(const Geometry& geometry, const Layout& layout,
                     uint32_t journal_blocks)
    : geometry_(geometry),
      layout_(layout),
      journal_(journal_map(journal_blocks, layout.type())) {}

FileMap DeviceMap::map_of(uint32_t slot) const {
  return slot == kNoSlot ? journal_ : layout_.file_map(slot);
}

uint32_t DeviceMap::position_of(uint32_t slot, uint32_t index) const {
  return slot == kNoSlot ? index
                         : data_position(layout_.slot(slot).position) + index;
}

BlockNo DeviceMap::block_of_xattrs(uint32_t xattr_block) const {
  return geometry_.block_at(data_position(layout_.xattr_position(xattr_block)));
}

uint32_t DeviceMap::end_position() const {
  return data_position(layout_.end_position());
}

std::vector<Image::BlockRun> DeviceMap::device_runs(uint32_t position,
                                                    uint32_t count) const {
  std::vector<Image::BlockRun> runs;
  while (count > 0) {
    const uint32_t part = std::min(count, geometry_.contiguous_from(position));
    runs.push_back({geometry_.block_at(position), part});
    position += part;
    count -= part;
  }
  return runs;
}

Piece DeviceMap::piece_at(BlockNo block) const {
  const Place place = geometry_.locate(block);
  if (place.region == Region::kInodeTable)
    return inode_table_piece(place);
  if (place.region == Region::kData)
    return data_piece(place);
  return {kind_of(place.region), place.group, place.index, place.count};
}

Piece DeviceMap::inode_table_piece(const Place& place) const {
  constexpr uint32_t kPerBlock = Shape::kInodesPerBlock;
  const uint64_t first =
      uint64_t{place.group} * geometry_.shape().inodes_per_group +
      uint64_t{place.index} * kPerBlock + 1;
  if (first > to_int(layout_.last_ino()))
    return {Piece::Kind::kZero, place.group, place.index, place.count};
  const bool live = has_live_inode(first, kPerBlock);
  return {live ? Piece::Kind::kInodeTable : Piece::Kind::kZero, place.group,
          place.index, 1};
}

bool DeviceMap::has_live_inode(uint64_t first, uint64_t count) const {
  for (uint64_t number = first; number < first + count; ++number) {
    const Ino ino{static_cast<uint32_t>(number)};
    if (layout_.live_slot(ino) != kNoSlot)
      return true;
    if (ino == kJournalIno && journal_.blocks() > 0)
      return true;
  }
  return false;
}

Piece DeviceMap::data_piece(const Place& place) const {
  const uint32_t position = place.index;
  const auto within = [&place](Piece piece) {
    piece.count = std::min(piece.count, place.count);
    return piece;
  };
  if (position < journal_.blocks())
    return within(journal_piece(position));
  if (position >= end_position())
    return {Piece::Kind::kZero, place.group, 0, place.count};
  const auto owner = layout_.owner_of(position - journal_.blocks());
  if (owner.kind == Layout::Owner::Kind::kSlot)
    return within(slot_piece(owner.index, owner.offset, owner.count));
  const bool used = layout_.xattr_block(owner.index).users > 0;
  return {used ? Piece::Kind::kXattrs : Piece::Kind::kZero, owner.index, 0, 1};
}

Piece DeviceMap::journal_piece(uint32_t position) const {
  const uint32_t indirect = journal_.indirect_blocks();
  if (position < indirect)
    return {Piece::Kind::kIndirect, kNoSlot, position, indirect - position};
  if (position == indirect)
    return {Piece::Kind::kJournalSuperblock, kNoSlot, 0, 1};
  return {Piece::Kind::kZero, kNoSlot, 0, journal_.blocks() - position};
}

Piece DeviceMap::slot_piece(uint32_t slot, uint32_t index,
                            uint32_t count) const {
  if (layout_.slot(slot).links == 0)
    return {Piece::Kind::kZero, slot, 0, count};
  const FileMap map = layout_.file_map(slot);
  const uint32_t indirect = map.indirect_blocks();
  if (index < indirect)
    return {Piece::Kind::kIndirect, slot, index, indirect - index};
  const DataRun run = map.data_at(index - indirect);
  return {data_kind(layout_.node(slot)), slot, run.first_block, run.blocks};
}

}  // namespace ovl
