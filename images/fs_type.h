// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace ovl {

/// `type=`: which drivers an image is for. kExt2 is mounted by those of ext2,
/// ext3 and ext4; kExt4 has extents, checksums of group descriptors, files
/// beyond 2 TiB and directories of more than 65000 directories.
enum class FsType : uint8_t { kExt2, kExt4 };

}  // namespace ovl
