// SPDX-License-Identifier: BSD-3-Clause
//
// How an object's blocks are ordered, as arithmetic. The blocks of an object
// are numbered from 0: first the indirect blocks that it needs, or the blocks
// of its extent tree level by level (extent_levels.h), then its data blocks in
// file order, so content without holes is contiguous. On ext2:
//
//   [double root] [triple root] [middles of triple] [leaves] [data ...]
//
// File blocks from 12 on fall into *windows* of 1024, one for each leaf (the
// single indirect block is the leaf of window 0). Only windows with data have
// a leaf; the n-th such window has the leaf of *rank* n. Nothing is stored for
// a block: everything follows from the data runs. Immutable; a view of runs
// that outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fsengine/base/hole_map.h"
#include "images/extent_levels.h"
#include "images/fs_type.h"

namespace ovl {

/// A data run with what the runs before it add up to, and its ranks.
struct RankedRun {
  uint32_t first_block = 0;
  uint32_t blocks = 0;
  uint32_t data_before = 0;   // data blocks of the runs before
  uint32_t first_rank = 0;    // rank of the run's first leaf, if it has one
  uint32_t first_middle = 0;  // likewise of its first triple-middle block
};

/// Appends the mapped form of `runs` to `out`.
void rank_runs(std::span<const DataRun> runs, std::vector<RankedRun>& out);

/// Entries [entry, entry + count) of a pointer block name the object's blocks
/// [block, block + count).
struct PointerRun {
  uint32_t entry = 0;
  uint32_t block = 0;
  uint32_t count = 0;
};

class FileMap {
 public:
  /// The largest file, in blocks: Linux counts an inode's 512-byte sectors,
  /// indirect blocks included, in 32 bits.
  static constexpr uint64_t kMaxFileBlocks = 535820284;
  /// And with extents, which count larger blocks; how much of it can be data.
  static constexpr uint64_t kMaxExtentFileBlocks = UINT32_MAX;
  static constexpr uint64_t kMaxExtentData = 0xff000000;
  static constexpr uint32_t kDirect = 12;
  static constexpr uint32_t kPerBlock = 1024;

  /// An object without holes.
  static FileMap dense(uint32_t blocks, FsType type = FsType::kExt2);
  /// An object with data in `runs` only.
  explicit FileMap(std::span<const RankedRun> runs,
                   FsType type = FsType::kExt2);

  uint32_t data_blocks() const { return data_; }
  /// Also those of an extent tree.
  uint32_t indirect_blocks() const {
    return extent_blocks_ + first_leaf() + leaves_;
  }
  uint32_t blocks() const { return indirect_blocks() + data_; }

  /// The file blocks behind data block `index`, as far as they run on.
  /// REQUIRES: index < data_blocks().
  DataRun data_at(uint32_t index) const;

  /// The object's block that holds `file_block`; nothing in a hole.
  std::optional<uint32_t> block_of(uint32_t file_block) const;

  /// The extent tree of an object of an ext4 image.
  ExtentLevels extent_levels() const;
  /// How many extents it has room for, never less than there are.
  uint64_t most_extents() const;

  /// What i_block[0..14] of the inode point to, on ext2.
  std::vector<PointerRun> inode_pointers() const;

  /// What indirect block `index` points to, on ext2.
  /// REQUIRES: index < indirect_blocks().
  std::vector<PointerRun> pointers(uint32_t index) const;

 private:
  explicit FileMap(FsType type) : type_(type) {}
  void sum_up();
  void count_indirect();
  std::span<const RankedRun> runs() const;

  uint32_t first_middle() const { return has_double_ + has_triple(); }
  uint32_t first_leaf() const { return first_middle() + middles_; }
  uint32_t has_triple() const { return middles_ > 0 ? 1 : 0; }

  uint32_t window_at(uint32_t rank) const;
  uint32_t middle_at(uint32_t rank) const;
  uint32_t rank_from(uint32_t window) const;

  std::vector<PointerRun> data_pointers(uint32_t first, uint32_t count) const;
  std::vector<PointerRun> leaf_pointers(uint32_t first_window) const;
  std::vector<PointerRun> middle_pointers() const;

  std::span<const RankedRun> mapped_;
  RankedRun dense_;  // the only run, when mapped_ is empty
  FsType type_ = FsType::kExt2;
  uint32_t data_ = 0;
  uint32_t extent_blocks_ = 0;
  uint32_t leaves_ = 0;
  uint32_t middles_ = 0;
  uint32_t has_double_ = 0;
};

}  // namespace ovl
