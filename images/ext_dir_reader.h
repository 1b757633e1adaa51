// SPDX-License-Identifier: BSD-3-Clause
//
// The names in a directory, all of its blocks together.
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/string_pool.h"
#include "fsengine/base/units.h"
#include "images/ext_block_map.h"
#include "images/ext_dir_block.h"

namespace ovl {

struct DirContent {
  Ino self{};    // what `.` says
  Ino parent{};  // what `..` says
  /// The others, sorted, no two alike, in the pool that was given.
  std::vector<DirName> names;
};

/// Reads the directory of `size` bytes that `map` places on `device`. EUCLEAN
/// when it is damaged (ext_dir_block.h).
Result<DirContent> read_directory(const BlockSource& device,
                                  const BlockMap& map, uint64_t size,
                                  StringPool& names);

/// What `..` says, from the directory's first block alone.
Result<Ino> read_parent(const BlockSource& device, BlockNo first_block);

}  // namespace ovl
