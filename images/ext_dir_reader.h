// SPDX-License-Identifier: BSD-3-Clause
//
// The names in a directory, parsed strictly: whatever a kernel would complain
// of is an error. Index blocks of hashed directories look like empty entries
// and need no care.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/string_pool.h"
#include "fsengine/base/units.h"
#include "images/ext_block_map.h"

namespace ovl {

struct DirName {
  std::string_view name;  // in the pool that was given
  Ino ino{};
  uint8_t file_type = 0;  // EXT2_FT_*; 0: not said
};

struct DirContent {
  Ino self{};                  // what `.` says
  Ino parent{};                // what `..` says
  std::vector<DirName> names;  // the others, sorted, no two alike
};

/// Reads the directory of `size` bytes that `map` places on `device`. Names
/// are 1 to 255 bytes without `/` and NUL, and neither `.` nor `..`; inode
/// numbers are not 0, and not judged further. EUCLEAN when it is damaged.
Result<DirContent> read_directory(const BlockSource& device,
                                  const BlockMap& map, uint64_t size,
                                  StringPool& names);

/// What `..` says, from the directory's first block alone.
Result<Ino> read_parent(const BlockSource& device, BlockNo first_block);

}  // namespace ovl
