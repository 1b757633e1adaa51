// SPDX-License-Identifier: BSD-3-Clause
//
// The bytes behind an inode of a file system on a device.
#pragma once

#include <string>
#include <vector>

#include "fsengine/base/block_source.h"
#include "images/ext_block_map.h"
#include "images/ext_inode.h"

namespace ovl {

/// A regular file; holes read as zeros. Safe for concurrent readers. The
/// device outlives it.
class ExtFile : public BlockSource {
 public:
  ExtFile(const BlockSource& device, std::vector<MappedRun> runs, uint64_t size)
      : device_(device), runs_(std::move(runs)), size_(size) {}

  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  struct Piece {
    uint64_t device_offset = 0;
    uint64_t length = 0;
    bool is_hole = false;
  };
  Piece piece_at(uint64_t offset, uint64_t length) const;

  const BlockSource& device_;
  std::vector<MappedRun> runs_;
  uint64_t size_;
};

/// What symlink `inode` points to; `map` is needed when it is not fast.
/// EUCLEAN when it is empty, too long, or holds a NUL.
Result<std::string> read_target(const BlockSource& device,
                                const ExtInode& inode, const BlockMap* map);

}  // namespace ovl
