// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>
#include <set>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

/// Which blocks the store has: one bit for each block of the device, in
/// memory and in a file. Reading is for any thread; changes, and writing them
/// to the file, for one at a time.
class StoreMap {
 public:
  /// Bits of `blocks` blocks, all clear.
  explicit StoreMap(uint64_t blocks);

  /// Reads them from `file`, which may be shorter than all bits. When that is
  /// `doubtful`, all of it is to be written again.
  Status load(int file, bool doubtful);
  /// Writes to `file` what was changed since the last time, and syncs it when
  /// that is anything.
  /// After an error all of that is still to write.
  Status save(Os& os, int file);

  bool test(BlockNo block) const;
  void set(BlockNo first, uint64_t count) { change(first, count, true); }
  void clear(BlockNo first, uint64_t count) { change(first, count, false); }

  /// How many blocks from `first` on have the state of `first`, at most `max`.
  uint64_t run_length(BlockNo first, uint64_t max) const;

  uint64_t count() const;

 private:
  struct Free {
    void operator()(uint64_t* words) const;
  };

  uint64_t word_count() const { return (blocks_ + 63) / 64; }
  void change(BlockNo first, uint64_t count, bool value);
  uint64_t load_word(uint64_t word) const;

  const uint64_t blocks_;
  std::unique_ptr<uint64_t[], Free> words_;  // untouched pages cost nothing
  std::set<uint64_t> unsaved_;               // pages of the file
  bool is_synced_ = true;
};

}  // namespace ovl
