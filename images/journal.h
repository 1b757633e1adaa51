// SPDX-License-Identifier: BSD-3-Clause
//
// The jbd2 journal of a new image: empty, its blocks contiguous at the start
// of the data space, so that its place is arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "images/file_map.h"
#include "images/identity.h"

namespace ovl {

/// Blocks of the journal of a file system of `groups` groups, as mke2fs
/// chooses but at most 64 MiB.
uint32_t journal_blocks_for(uint32_t groups);

/// The journal's file: 0 blocks stand for no journal.
inline FileMap journal_map(uint32_t journal_blocks, FsType type) {
  return FileMap::dense(journal_blocks, type);
}

/// Fills the first block of the journal: a version 2 superblock without
/// features, log empty. REQUIRES: out.size() == kBlockSize, all zeros.
void fill_journal_superblock(uint32_t journal_blocks, const Uuid& uuid,
                             std::span<std::byte> out);

}  // namespace ovl
