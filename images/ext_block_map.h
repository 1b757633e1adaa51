// SPDX-License-Identifier: BSD-3-Clause
//
// Where the blocks of an inode are: indirect maps and extent trees become
// runs. A guest's pointers are followed only after `visit` agreed to each
// block, so that a visitor that claims blocks bounds the work (block_claims.h).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"
#include "images/ext2_io.h"
#include "images/ext_inode.h"

namespace ovl {

/// `count` blocks of the file from `file_block`, at `device` in a row.
struct MappedRun {
  uint64_t file_block = 0;
  BlockNo device{};
  uint64_t count = 0;
};

struct BlockMap {
  std::vector<MappedRun> runs;  // in file order; unwritten ones left out
  uint64_t blocks = 0;          // of everything, indirect blocks too
  uint64_t data_end = 0;        // file blocks up to the last that has a block
};

/// Sees each run of blocks, data or not, before it is followed.
using BlockVisitor = std::function<Status(BlockNo first, uint64_t count)>;

/// The map of inode `ino`, whose bytes are `inode`. REQUIRES: it is a regular
/// file, a directory or a symlink that is not fast. EUCLEAN when it makes no
/// sense; errors of `visit` as they are.
Result<BlockMap> read_block_map(ext2_filsys fs, Ino ino, const ExtInode& inode,
                                const BlockVisitor& visit);

}  // namespace ovl
