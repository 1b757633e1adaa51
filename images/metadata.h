// SPDX-License-Identifier: BSD-3-Clause
//
// Computes metadata blocks and inodes when they are read. Immutable.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "images/device_map.h"
#include "images/extent_trees.h"
#include "images/group_counts.h"
#include "images/identity.h"
#include "images/image.h"
#include "images/layout.h"
#include "images/superblock.h"

namespace ovl {

class Metadata {
 public:
  /// `layout` and `map` outlive it.
  Metadata(const Layout& layout, const DeviceMap& map, Identity identity);

  const Identity& identity() const { return identity_; }

  /// Fills block `block`. REQUIRES: piece_at() finds metadata there;
  /// out.size() == kBlockSize.
  void fill(BlockNo block, std::span<std::byte> out) const;

  Image::InodeBytes inode(Ino ino) const;

 private:
  using Pointers = std::array<uint32_t, 15>;

  void fill_object(const Piece& piece, std::span<std::byte> out) const;
  void fill_inodes(const Piece& piece, std::span<std::byte> out) const;
  void fill_indirect(const Piece& piece, std::span<std::byte> out) const;
  void fill_symlink(const Piece& piece, std::span<std::byte> out) const;
  void fill_xattrs(const Piece& piece, std::span<std::byte> out) const;

  SuperblockFacts superblock_facts() const;
  Image::InodeBytes slot_inode(uint32_t slot) const;
  Image::InodeBytes journal_inode() const;
  uint64_t size_of(uint32_t slot, const FileMap& map) const;
  Pointers map_root(uint32_t slot, const FileMap& map) const;
  bool has_extents() const { return layout_.type() == FsType::kExt4; }
  Pointers pointers_of(uint32_t slot, const FileMap& map) const;
  void resolve_pointers(uint32_t slot, std::span<const PointerRun> runs,
                        std::span<uint32_t> out) const;

  const Layout& layout_;
  const DeviceMap& map_;
  Identity identity_;
  std::vector<GroupCount> counts_;
  ExtentTrees extents_;
  Image::InodeBytes journal_inode_{};
};

}  // namespace ovl
