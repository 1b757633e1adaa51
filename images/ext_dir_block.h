// SPDX-License-Identifier: BSD-3-Clause
//
// One block of a directory, parsed strictly: whatever a kernel would complain
// of is an error. Index blocks of hashed directories look like empty entries
// and need no care.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

using DirBlockBytes = std::array<std::byte, kBlockSize>;

struct DirName {
  std::string_view name;
  Ino ino{};
  uint8_t file_type = 0;  // EXT2_FT_*; 0: not said
};

struct DirBlockContent {
  Ino self{};                  // what `.` says, in the first block
  Ino parent{};                // what `..` says, in the first block
  std::vector<DirName> names;  // the others, in the block's bytes, as they come
};

/// Names are 1 to 255 bytes without `/` and NUL, and neither `.` nor `..`;
/// inode numbers are not 0, and not judged further. EUCLEAN when the block is
/// damaged.
Result<DirBlockContent> parse_dir_block(const DirBlockBytes& block,
                                        bool is_first);

}  // namespace ovl
