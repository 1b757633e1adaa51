// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "images/geometry.h"
#include "images/group_counts.h"
#include "images/identity.h"
#include "images/image.h"

namespace ovl {

/// What superblock and descriptors state. Borrowed for the call.
struct SuperblockFacts {
  const Geometry& geometry;
  const Identity& identity;
  std::span<const GroupCount> counts;
  const Image::InodeBytes* journal_inode = nullptr;  // null: no journal
  FsType type = FsType::kExt2;
};

/// Fills the block with the superblock or its copy in `group`.
/// REQUIRES (of both): out.size() == kBlockSize, all zeros.
void fill_superblock(const SuperblockFacts& facts, uint32_t group,
                     std::span<std::byte> out);

/// Fills block `index` of the group descriptors.
void fill_descriptors(const SuperblockFacts& facts, uint32_t index,
                      std::span<std::byte> out);

}  // namespace ovl
