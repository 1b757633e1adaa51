// SPDX-License-Identifier: BSD-3-Clause
//
// What the log folds into: the blocks that the guest wrote and nothing else
// provides, at their places in a sparse file, and two maps: which they are, and
// which blocks upper provides (FORMAT.md, "The store"). What it says of a block
// with a record in the log means nothing: that is what makes its order safe.
//
// Reading is for any thread; changes are for one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"
#include "fsengine/store/store_map.h"

namespace ovl {

class BlockStore {
 public:
  /// The store in `directory` (workdir/ovl), which outlives it, of a device
  /// of `blocks` blocks. Makes what is missing.
  static Result<std::unique_ptr<BlockStore>> create(Os& os, int directory,
                                                    uint64_t blocks);
  /// The same without making anything: ENOENT. When a sync of it had failed it
  /// is `doubtful`: the maps will be written again.
  static Result<std::unique_ptr<BlockStore>> open(Os& os, int directory,
                                                  uint64_t blocks,
                                                  bool doubtful = false);
  /// Removes the files of a store; no error when there are none.
  static Status remove(Os& os, int directory);

  /// The blocks that are here.
  const StoreMap& map() const { return map_; }
  /// The blocks that upper provides, unless they are here.
  const StoreMap& provided() const { return provided_; }

  /// Reads blocks that are all in the map.
  Status read(uint64_t offset, std::span<std::byte> out) const;

  /// Whole blocks. They are there for readers when it returns.
  Status write(BlockNo first, std::span<const std::byte> blocks);
  /// Makes whole blocks zeros, and gives their space back.
  Status zero(BlockNo first, uint64_t count);
  /// Writes whole blocks that the map has not, and leaves it so. Safe for any
  /// thread, for blocks of its own.
  Status place(BlockNo first, std::span<const std::byte> blocks);
  /// Takes space for blocks that may be placed, while so much is free then.
  /// False when none was; after an error some may have been.
  bool take_space(BlockNo first, uint64_t count, uint64_t spare_bytes) const;
  /// What was placed there is in the map from now on.
  void adopt(BlockNo first, uint64_t count);
  /// Writes whole blocks as they read.
  Status write_again(BlockNo first, uint64_t count);
  /// Bytes that were placed are on disk. Safe for any thread.
  Status sync_blocks() const;
  /// Leaves whole blocks to the base, which has zeros there as they are here,
  /// and gives their space back.
  Status release(BlockNo first, uint64_t count);
  /// Changes of the maps are on disk. REQUIRES: their bytes are.
  Status save_maps();

  /// Upper provides these blocks with the bytes that they have here, or would
  /// have: who looks at the maps from now on goes there. Durable when they are
  /// saved.
  void provide(BlockNo first, uint64_t count);
  /// Blocks that have space here and are not in the map: a crash left them.
  Result<std::vector<BlockRange>> find_unused() const;
  /// They are not to be placed until they are given back.
  void note_idle(BlockNo first, uint64_t count) { idle_.set(first, count); }
  /// Gives back the space of those that are not in the map. REQUIRES: that is
  /// durable, and nobody reads who looked at the map before.
  Status give_back(BlockNo first, uint64_t count);
  /// May these blocks be placed: are they neither in the map, nor idle, which
  /// those are whose space is not given back yet?
  bool is_free(BlockNo first, uint64_t count) const {
    return free_blocks(first, count) == count;
  }
  /// How many of them from the first one on.
  uint64_t free_blocks(BlockNo first, uint64_t most) const;

 private:
  BlockStore(Os& os, uint64_t blocks)
      : os_(os), map_(blocks), provided_(blocks), idle_(blocks) {}
  Status open_files(int directory, int flags, uint64_t size);

  Os& os_;
  Fd blocks_;
  Fd map_file_;
  Fd provided_file_;
  StoreMap map_;
  StoreMap provided_;
  StoreMap idle_;  // of no meaning, and their space not given back
};

}  // namespace ovl
