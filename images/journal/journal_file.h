// SPDX-License-Identifier: BSD-3-Clause
//
// The blocks of a journal, wherever the guest's file system put them.
// Immutable.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fsengine/base/block_source.h"
#include "images/ext_block_map.h"

namespace ovl {

class JournalFile {
 public:
  /// A file without blocks.
  JournalFile() = default;

  /// EUCLEAN unless `runs` are blocks of a device of `device_blocks`, in file
  /// order, without a hole.
  static Result<JournalFile> map(std::span<const MappedRun> runs,
                                 uint64_t device_blocks);

  uint64_t blocks() const;

  /// Where block `position` of the file is. REQUIRES: position < blocks().
  BlockNo at(uint64_t position) const;

  /// Is `block` of the device one of the file's?
  bool holds(BlockNo block) const;

  /// Fills the block `out` with that at `position`.
  /// REQUIRES: position < blocks().
  Status read(const BlockSource& device, uint64_t position,
              std::span<std::byte> out) const;

  bool operator==(const JournalFile& other) const;

 private:
  std::vector<MappedRun> runs_;       // in file order
  std::vector<MappedRun> on_device_;  // in the order of the device
};

}  // namespace ovl
