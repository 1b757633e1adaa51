// SPDX-License-Identifier: BSD-3-Clause
//
// Chooses the shape of a file system for what it must hold. With a given
// device size the shape depends on the lower part only, so that every device
// of that size shares it; only when upper has more objects than that leaves
// inodes for are there more of them.
#pragma once

#include <cstdint>

#include "fsengine/base/result.h"
#include "images/geometry.h"
#include "images/image.h"

namespace ovl {

/// What a layout takes, in inodes (reserved ones included) and blocks.
struct Demand {
  uint32_t lower_inodes = 0;
  uint32_t inodes = 0;
  uint64_t lower_blocks = 0;
  uint64_t blocks = 0;       // positions taken, used or reserved
  uint64_t live_blocks = 0;  // those in use
  bool journal = true;
  FsType type = FsType::kExt2;
};

/// ENOSPC, naming the size that would do, when `request` is too small; EFBIG
/// when no ext2 file system is large enough.
Result<Geometry> choose_geometry(const SizeRequest& request,
                                 const Demand& demand);

/// Blocks of the journal and its indirect blocks; 0 without a journal.
uint32_t journal_space(const Demand& demand, uint32_t groups);

}  // namespace ovl
