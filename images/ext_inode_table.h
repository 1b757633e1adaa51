// SPDX-License-Identifier: BSD-3-Clause
//
// Inodes by number. Of the tables only what the guest wrote is read from the
// device; the rest is what the base image shows.
#pragma once

#include <vector>

#include "images/ext2_io.h"
#include "images/ext_inode.h"
#include "images/ext_reader.h"

namespace ovl {

/// The inode numbers that the bitmap of `fs` marks, in order. REQUIRES: the
/// bitmap was read.
Result<std::vector<Ino>> used_inodes(ext2_filsys fs);

class InodeTable {
 public:
  /// Both outlive the table.
  InodeTable(const ExtReaderInput& input, ext2_filsys fs)
      : input_(input), fs_(fs) {}

  /// REQUIRES: 1 <= ino <= the number of inodes.
  Result<ExtInode> read(Ino ino);

 private:
  Status load(BlockNo block);

  const ExtReaderInput& input_;
  ext2_filsys fs_;
  BlockNo loaded_{};
  bool loaded_is_written_ = false;
  std::array<std::byte, kBlockSize> bytes_{};
};

}  // namespace ovl
