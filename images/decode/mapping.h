// SPDX-License-Identifier: BSD-3-Clause
//
// Where the blocks of an inode are, the extents or the indirect blocks read
// strictly. Facts of the format: kernel documentation, "ext4 Data Structures
// and Algorithms".
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/units.h"
#include "images/ext_inode.h"

namespace ovl {

enum class RunKind : uint8_t {
  kData = 0,
  kUnwritten = 1,  // reserved for the file, which reads as zeros there
  kMap = 2,        // blocks of extents or pointers; no block of the file
};

/// `count` blocks of a file from `file_block` on, in a row from `device` on.
struct MapRun {
  uint32_t file_block = 0;
  uint32_t count = 0;
  uint32_t device = 0;
  RunKind kind = RunKind::kData;

  BlockNo block() const { return BlockNo{device}; }
  bool operator==(const MapRun&) const = default;
};

/// Those of the file, in file order; then kMap ones.
using Mapping = std::vector<MapRun>;

/// Runs of the file, in order, from the first on that ends behind `file_block`.
/// O(log runs).
std::span<const MapRun> runs_from(const Mapping& mapping, uint64_t file_block);

/// Data in blocks [first, end) of the file, in order. O(log runs + result).
Mapping data_in(const Mapping& mapping, uint64_t first, uint64_t end);
Mapping all_data(const Mapping& mapping);

/// Where block `file_block` is, if it has data. O(log runs).
std::optional<BlockNo> data_block(const Mapping& mapping, uint64_t file_block);

/// Agrees to each run of blocks before it is followed, so that whoever claims
/// blocks bounds the work.
using RunVisitor = std::function<Status(BlockNo first, uint64_t count)>;

/// True when `inode` has blocks of its own: a regular file, a directory, or a
/// symlink that is not fast.
bool has_mapping(const ExtInode& inode);

/// The mapping of `inode`, which has one, with its map blocks read from
/// `device`. EUCLEAN when it makes no sense; errors of `visit` as they are.
/// REQUIRES: the device is of at most 2^32 blocks.
Result<Mapping> read_mapping(const BlockSource& device, const ExtInode& inode,
                             const RunVisitor& visit);

}  // namespace ovl
