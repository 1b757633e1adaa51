// SPDX-License-Identifier: BSD-3-Clause
//
// The bytes of index blocks of a hashed directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/units.h"
#include "images/hashed_directory.h"

namespace ovl {

/// How many blocks a root and a node can point to.
inline constexpr uint32_t kHtreeRootEntries = (kBlockSize - 32) / 8;
inline constexpr uint32_t kHtreeNodeEntries = (kBlockSize - 8) / 8;

/// Fill an index block. REQUIRES (of both): out.size() == kBlockSize, all
/// zeros; entries are not empty and not too many.
void fill_htree_node(std::span<const HashedDirectory::IndexEntry> entries,
                     std::span<std::byte> out);

/// That of the root too begins with "." and "..", which are already in `out`
/// (DirBlockWriter). `levels` is how many of nodes there are.
void fill_htree_root(std::span<const HashedDirectory::IndexEntry> entries,
                     uint8_t levels, std::span<std::byte> out);

}  // namespace ovl
