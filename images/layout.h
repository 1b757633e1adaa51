// SPDX-License-Identifier: BSD-3-Clause
//
// Which inode number and which blocks every object has: the *slots*, one for
// an object, in the order of their inode numbers and blocks. All is told in
// positions of the *object space*, which begins behind the journal:
//
//   [lower slots][lower attribute blocks][upper slots][upper attribute blocks]
//
// The lower part is that of the lower tree alone, whatever upper does. A slot
// whose object is not in the merged tree is *hidden*: it keeps its number and
// blocks, which are free. A directory that upper merges has two slots with one
// inode number: the hidden one of its lower part, and one in the upper part.
//
// About 20 bytes an object, in vectors by slot, inode number and node. Built
// by layout_builder.h; immutable. The pool outlives it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fsengine/base/tree.h"
#include "fsengine/base/units.h"
#include "images/file_map.h"
#include "images/hashed_directory.h"

namespace ovl {

inline constexpr uint32_t kNoSlot = UINT32_MAX;
inline constexpr Ino kRootIno{2};
inline constexpr Ino kJournalIno{8};
inline constexpr Ino kFirstIno{11};

struct Slot {
  NodeId node = kNoNode;
  Ino ino{};
  uint32_t position = 0;  // of its first block
  uint32_t links = 0;     // as the inode counts them; 0: hidden
};

struct DirRecord {
  uint32_t slot = 0;
  Ino parent{};
  uint32_t blocks = 0;
  uint32_t starts = 0;  // into LayoutTables::dir_starts
};

/// A block of attributes, and how many inodes of the merged tree use it.
struct XattrBlock {
  XattrsId set{};
  uint32_t users = 0;
};
struct XattrUse {
  uint32_t slot = 0;
  uint32_t block = 0;  // into LayoutTables::xattr_blocks
};

/// Positions that are reserved but free.
struct FreeRange {
  uint32_t position = 0;
  uint32_t count = 0;
};

/// One of the two parts of the object space: where its slots and attribute
/// blocks end, as indices and as positions.
struct LayoutPart {
  uint32_t slots_end = 0;
  uint32_t slots_end_position = 0;
  uint32_t xattr_blocks_end = 0;
  uint32_t end_position = 0;
};

/// What a layout consists of.
struct LayoutTables {
  std::vector<Slot> slots;
  std::vector<uint32_t> slot_of_node;
  std::vector<uint32_t> slot_of_ino;
  std::vector<DirRecord> directories;  // by slot
  std::vector<uint32_t> dir_starts;    // first entries: see pack_directory
  /// Those with an index, by slot; they have no dir_starts.
  std::vector<std::pair<uint32_t, HashedDirectory>> hashed_directories;
  HashSeed hash_seed{};
  FsType type = FsType::kExt2;
  std::vector<XattrBlock> xattr_blocks;
  std::vector<XattrUse> xattr_uses;  // by slot
  std::vector<FreeRange> free_ranges;
  std::vector<RankedRun> ranked_runs;
  /// For each hole map that is used, its [first, last) in ranked_runs.
  std::vector<std::pair<uint32_t, uint32_t>> hole_runs;
  LayoutPart lower;
  LayoutPart upper;
};

class Layout {
 public:
  Layout(const NodePool& pool, LayoutTables tables);

  const NodePool& pool() const { return pool_; }
  FsType type() const { return tables_.type; }
  std::span<const Slot> slots() const { return tables_.slots; }
  const Slot& slot(uint32_t index) const { return tables_.slots[index]; }
  const Node& node(uint32_t slot) const {
    return pool_[tables_.slots[slot].node];
  }
  const LayoutPart& lower() const { return tables_.lower; }
  const LayoutPart& upper() const { return tables_.upper; }

  /// The slot that the merged tree shows under this number, or of this node;
  /// kNoSlot when there is none.
  uint32_t live_slot(Ino ino) const;
  uint32_t live_slot(NodeId node) const;

  /// The slot of a node of either tree, hidden or not; kNoSlot for others.
  uint32_t slot_of(NodeId node) const;

  Ino last_ino() const;
  uint32_t end_position() const { return tables_.upper.end_position; }
  std::span<const FreeRange> free_ranges() const { return tables_.free_ranges; }

  uint32_t blocks_of(uint32_t slot) const;
  FileMap file_map(uint32_t slot) const;

  /// REQUIRES: the slot's node is a directory.
  const DirRecord& directory(uint32_t slot) const;
  /// REQUIRES: hashed_directory(directory.slot) is null.
  std::span<const Entry> entries_of_block(const DirRecord& directory,
                                          uint32_t block) const;

  /// The index of a directory, or null when it is linear.
  const HashedDirectory* hashed_directory(uint32_t slot) const;
  const HashSeed& hash_seed() const { return tables_.hash_seed; }

  std::span<const XattrUse> xattr_uses() const { return tables_.xattr_uses; }
  /// The attribute block of a slot, as an index, if it has one.
  std::optional<uint32_t> xattr_block_of(uint32_t slot) const;
  const XattrBlock& xattr_block(uint32_t index) const {
    return tables_.xattr_blocks[index];
  }
  uint32_t xattr_position(uint32_t index) const;

  /// What a position belongs to.
  struct Owner {
    enum class Kind { kSlot, kXattrBlock };
    Kind kind = Kind::kSlot;
    uint32_t index = 0;   // of the slot or the attribute block
    uint32_t offset = 0;  // of the position within it
    uint32_t count = 0;   // blocks of it from there on
  };
  /// REQUIRES: position < end_position().
  Owner owner_of(uint32_t position) const;

 private:
  Owner slot_at(uint32_t first, uint32_t end, uint32_t position) const;

  const NodePool& pool_;
  LayoutTables tables_;
};

}  // namespace ovl
