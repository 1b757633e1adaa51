// SPDX-License-Identifier: BSD-3-Clause
//
// Which blocks of a file system somebody claims: one bit a block. Because a
// block is claimed once or an error is returned, whoever follows a guest's
// pointers and claims what he follows does no more steps than the device has
// blocks, whatever the guest wrote.
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"
#include "images/ext2_io.h"

namespace ovl {

class BlockClaims {
 public:
  explicit BlockClaims(uint64_t blocks);

  /// EUCLEAN when a block is out of range or claimed already.
  Status claim(BlockNo first, uint64_t count = 1);

  /// EUCLEAN when what was claimed is not exactly what the block bitmap of
  /// `fs` marks. REQUIRES: the bitmap was read.
  Status check_against_bitmap(ext2_filsys fs) const;

 private:
  Status claim_in_word(uint64_t word, uint64_t mask);

  uint64_t blocks_;
  std::vector<uint64_t> words_;
};

/// Claims superblocks, descriptors, bitmaps and inode tables of every group.
Status claim_metadata(ext2_filsys fs, BlockClaims& claims);

}  // namespace ovl
