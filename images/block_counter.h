// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/result.h"
#include "images/layout.h"

namespace ovl {

/// Counts the blocks of objects while a layout is built, and notes in `tables`
/// what telling them apart later needs: where the blocks of a directory begin,
/// the ranked runs of hole maps. Pool and tables outlive it; the hash seed is
/// in the tables before the first directory is counted.
class BlockCounter {
 public:
  BlockCounter(const NodePool& pool, LayoutTables& tables)
      : pool_(pool), tables_(tables) {}

  /// The blocks of `node`, which gets the next slot, beneath the directory
  /// `parent`. EFBIG, ENAMETOOLONG or EINVAL when the type of file
  /// system cannot hold it.
  Result<uint32_t> count(const Node& node, Ino parent);

 private:
  Result<uint32_t> add_directory(const Node& node, Ino parent);
  void add_index(std::span<const Entry> entries, DirRecord& record);
  Result<uint32_t> file_blocks(const Node& node);
  uint64_t most_file_blocks() const;
  tl::unexpected<Error> too_large(const Node& node) const;
  FileMap sparse_map(HoleMapId holes);
  Result<uint32_t> symlink_blocks(const Node& node) const;

  const NodePool& pool_;
  LayoutTables& tables_;
};

}  // namespace ovl
