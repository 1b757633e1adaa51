// SPDX-License-Identifier: BSD-3-Clause
#include "images/metadata.h"

#include <endian.h>

#include <algorithm>
#include <cstring>

#include "images/directory_block.h"
#include "images/inode_record.h"
#include "images/journal.h"
#include "images/xattr_block.h"

namespace ovl {

namespace {

// Whether i_block tells where blocks are.
bool is_mapped(const Node& node, const FileMap& map) {
  return node.is_regular() || node.is_dir() ||
         (node.is_symlink() && map.blocks() > 0);
}

}  // namespace

Metadata::Metadata(const Layout& layout, const DeviceMap& map,
                   Identity identity)
    : layout_(layout),
      map_(map),
      identity_(std::move(identity)),
      counts_(count_groups(map, layout)),
      extents_(layout, map),
      journal_inode_(journal_inode()) {}

void Metadata::fill(BlockNo block, std::span<std::byte> out) const {
  std::ranges::fill(out, std::byte{});
  const Piece piece = map_.piece_at(block);
  switch (piece.kind) {
    case Piece::Kind::kSuperblock:
      return fill_superblock(superblock_facts(), piece.owner, out);
    case Piece::Kind::kDescriptors:
      return fill_descriptors(superblock_facts(), piece.index, out);
    case Piece::Kind::kBlockBitmap:
      return fill_block_bitmap(map_, layout_, piece.owner, out);
    case Piece::Kind::kInodeBitmap:
      return fill_inode_bitmap(map_, layout_, piece.owner, out);
    case Piece::Kind::kInodeTable:
      return fill_inodes(piece, out);
    case Piece::Kind::kJournalSuperblock:
      return fill_journal_superblock(map_.journal_blocks(), identity_.uuid,
                                     out);
    default:
      return fill_object(piece, out);
  }
}

void Metadata::fill_object(const Piece& piece, std::span<std::byte> out) const {
  switch (piece.kind) {
    case Piece::Kind::kIndirect:
      return fill_indirect(piece, out);
    case Piece::Kind::kDirectory:
      return fill_directory_block(layout_, piece.owner, piece.index, out);
    case Piece::Kind::kSymlink:
      return fill_symlink(piece, out);
    case Piece::Kind::kXattrs:
      return fill_xattrs(piece, out);
    default:
      return;
  }
}

SuperblockFacts Metadata::superblock_facts() const {
  const bool journal = map_.journal_blocks() > 0;
  return {map_.geometry(), identity_, counts_,
          journal ? &journal_inode_ : nullptr, layout_.type()};
}

void Metadata::fill_inodes(const Piece& piece, std::span<std::byte> out) const {
  const uint32_t first =
      piece.owner * map_.geometry().shape().inodes_per_group +
      piece.index * Shape::kInodesPerBlock + 1;
  for (uint32_t i = 0; i < Shape::kInodesPerBlock; ++i)
    std::ranges::copy(inode(Ino{first + i}),
                      out.subspan(size_t{i} * Image::kInodeSize).begin());
}

void Metadata::fill_indirect(const Piece& piece,
                             std::span<std::byte> out) const {
  const FileMap map = map_.map_of(piece.owner);
  if (has_extents())
    return extents_.fill_block(piece.owner, map, piece.index, out);
  std::array<uint32_t, FileMap::kPerBlock> pointers{};
  resolve_pointers(piece.owner, map.pointers(piece.index), pointers);
  for (uint32_t& pointer : pointers)
    pointer = htole32(pointer);
  std::memcpy(out.data(), pointers.data(), sizeof pointers);
}

void Metadata::fill_symlink(const Piece& piece,
                            std::span<std::byte> out) const {
  const auto target =
      layout_.pool().strings.get(layout_.node(piece.owner).target);
  std::memcpy(out.data(), target.data(), target.size());
}

void Metadata::fill_xattrs(const Piece& piece, std::span<std::byte> out) const {
  const XattrBlock& block = layout_.xattr_block(piece.owner);
  const auto xattrs = to_disk_xattrs(layout_.pool().xattrs.get(block.set));
  // The layout refused sets for which this fails.
  if (xattrs)
    fill_xattr_block(*xattrs, block.users, out);
}

Image::InodeBytes Metadata::inode(Ino ino) const {
  if (ino == kJournalIno)
    return journal_inode_;
  const uint32_t slot = layout_.live_slot(ino);
  return slot == kNoSlot ? Image::InodeBytes{} : slot_inode(slot);
}

Image::InodeBytes Metadata::journal_inode() const {
  if (map_.journal_blocks() == 0)
    return {};
  const FileMap map = map_.map_of(kNoSlot);
  Node node;
  node.mode = S_IFREG | 0600;
  InodeFacts facts;
  facts.size = uint64_t{map.data_blocks()} * kBlockSize;
  facts.links = 1;
  facts.blocks = map.blocks();
  facts.extents = has_extents();
  facts.pointers = map_root(kNoSlot, map);
  return inode_record(node, facts);
}

Image::InodeBytes Metadata::slot_inode(uint32_t slot) const {
  const Slot& object = layout_.slot(slot);
  const FileMap map = layout_.file_map(slot);
  const auto xattrs = layout_.xattr_block_of(slot);
  InodeFacts facts;
  facts.size = size_of(slot, map);
  facts.links = object.links;
  facts.blocks = map.blocks() + (xattrs ? 1 : 0);
  facts.generation = generation_of(identity_, object.ino);
  facts.indexed = layout_.hashed_directory(slot) != nullptr;
  facts.extents = has_extents() && is_mapped(layout_.node(slot), map);
  facts.pointers = pointers_of(slot, map);
  if (xattrs)
    facts.xattr_block =
        static_cast<uint32_t>(to_int(map_.block_of_xattrs(*xattrs)));
  return inode_record(layout_.node(slot), facts);
}

uint64_t Metadata::size_of(uint32_t slot, const FileMap& map) const {
  const Node& node = layout_.node(slot);
  if (node.is_dir())
    return uint64_t{map.data_blocks()} * kBlockSize;
  if (node.is_symlink())
    return layout_.pool().strings.get(node.target).size();
  return node.is_regular() ? node.size : 0;
}

Metadata::Pointers Metadata::pointers_of(uint32_t slot,
                                         const FileMap& map) const {
  const Node& node = layout_.node(slot);
  if (node.is_device())
    return device_pointers(node.rdev);
  if (node.is_symlink() && map.blocks() == 0)
    return symlink_pointers(layout_.pool().strings.get(node.target));
  return is_mapped(node, map) ? map_root(slot, map) : Pointers{};
}

// i_block of an inode that has blocks.
Metadata::Pointers Metadata::map_root(uint32_t slot, const FileMap& map) const {
  if (has_extents())
    return extents_.root(slot, map);
  Pointers pointers{};
  resolve_pointers(slot, map.inode_pointers(), pointers);
  return pointers;
}

void Metadata::resolve_pointers(uint32_t slot, std::span<const PointerRun> runs,
                                std::span<uint32_t> out) const {
  for (const PointerRun& run : runs) {
    uint32_t entry = run.entry;
    const uint32_t position = map_.position_of(slot, run.block);
    for (const auto& [first, count] : map_.device_runs(position, run.count))
      for (uint64_t i = 0; i < count; ++i)
        out[entry++] = static_cast<uint32_t>(to_int(first) + i);
  }
}

}  // namespace ovl
