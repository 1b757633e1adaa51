// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/mutex.h"
#include "fsengine/base/units.h"
#include "fsengine/device/upper_files.h"

namespace ovl {

/// The blocks of the device whose bytes are in upper's files, and only there:
/// which file has them, and where. A block that is of no file is free in the
/// guest's file system, and reads as zeros. Reads are for any thread, and
/// answer ESTALE as UpperFiles does; changes are for one thread at a time.
class ProvidedBlocks : public BlockSource {
 public:
  /// Of a device of `size` bytes; `files` outlives it.
  ProvidedBlocks(uint64_t size, UpperFiles& files)
      : size_(size), files_(files) {}

  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, std::span<std::byte> out) const override;

  struct Piece {
    UpperFiles::Key file = kNoNode;  // none: zeros
    uint64_t file_block = 0;
    uint64_t count = 0;
  };
  /// What has the blocks from `first` on, at most `most`. For any thread.
  Piece piece_at(uint64_t first, uint64_t most) const;

  /// `blocks` are of a file now, from its block `file_block` on, and of no
  /// other one; kNoNode: of none.
  void set(const BlockRange& blocks, UpperFiles::Key file, uint64_t file_block);
  /// All that are of a file, in order.
  std::vector<BlockRange> blocks_of(UpperFiles::Key file) const;

 private:
  struct Run {
    uint64_t count = 0;
    UpperFiles::Key file = kNoNode;
    uint64_t file_block = 0;
  };
  using Runs = std::map<uint64_t, Run>;

  void clear(const BlockRange& blocks) OVL_REQUIRES(mutex_);
  void add(uint64_t first, const Run& run) OVL_REQUIRES(mutex_);
  void erase(Runs::iterator at) OVL_REQUIRES(mutex_);

  const uint64_t size_;
  UpperFiles& files_;
  mutable SharedMutex mutex_;
  Runs runs_ OVL_GUARDED_BY(mutex_);  // by first block; none overlap
  std::set<std::pair<UpperFiles::Key, uint64_t>> by_file_
      OVL_GUARDED_BY(mutex_);
};

}  // namespace ovl
