// SPDX-License-Identifier: BSD-3-Clause
//
// What each block of the device is: geometry, journal and layout put together.
// Immutable; borrows nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "images/geometry.h"
#include "images/image.h"
#include "images/layout.h"

namespace ovl {

/// Consecutive blocks of one kind.
struct Piece {
  enum class Kind {
    kZero,
    kSuperblock,
    kDescriptors,
    kBlockBitmap,
    kInodeBitmap,
    kInodeTable,
    kJournalSuperblock,
    kIndirect,
    kDirectory,
    kSymlink,
    kXattrs,
    kFile,
  };
  Kind kind = Kind::kZero;
  uint32_t owner = 0;  // group, slot (or kNoSlot: the journal), xattr block
  uint32_t index = 0;  // block of the region, of the object, or of the file
  uint64_t count = 0;
};

class DeviceMap {
 public:
  /// `layout` outlives the map. `journal_blocks` is 0 without a journal.
  DeviceMap(const Geometry& geometry, const Layout& layout,
            uint32_t journal_blocks);

  const Geometry& geometry() const { return geometry_; }
  uint32_t journal_blocks() const { return journal_.data_blocks(); }

  /// The longest run of blocks of one kind and owner from `block` on.
  Piece piece_at(BlockNo block) const;

  /// The map of a slot's blocks, or of the journal's for kNoSlot.
  FileMap map_of(uint32_t slot) const;
  /// The data position of block `index` of an object (FileMap numbers them).
  uint32_t position_of(uint32_t slot, uint32_t index) const;
  BlockNo block_of_xattrs(uint32_t xattr_block) const;

  /// The device blocks of `count` positions from `position` on.
  std::vector<Image::BlockRun> device_runs(uint32_t position,
                                           uint32_t count) const;

  /// The positions behind the journal and all objects are free.
  uint32_t end_position() const;
  /// A range of the layout's object space as data positions.
  uint32_t data_position(uint32_t object_position) const {
    return journal_.blocks() + object_position;
  }

 private:
  Piece inode_table_piece(const Place& place) const;
  Piece data_piece(const Place& place) const;
  Piece journal_piece(uint32_t position) const;
  Piece slot_piece(uint32_t slot, uint32_t index, uint32_t count) const;
  bool has_live_inode(uint64_t first, uint64_t count) const;

  Geometry geometry_;
  const Layout& layout_;
  FileMap journal_;
};

}  // namespace ovl
