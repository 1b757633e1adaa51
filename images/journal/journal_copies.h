// SPDX-License-Identifier: BSD-3-Clause
//
// Which copy in a journal's log counts for each block, and which blocks that
// has changed for. For one thread; readers may share it while nobody changes
// it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "fsengine/base/units.h"
#include "images/journal/journal_scan.h"

namespace ovl {

class JournalCopies {
 public:
  /// The copies of a later transaction than all before, and what it revokes.
  void add(const JournalTransaction& transaction);

  /// The earliest transaction leaves the log: `copies` are all of its.
  void remove(uint32_t id, std::span<const JournalCopy> copies);

  /// The copy that counts for `block`.
  std::optional<JournalCopy> find(BlockNo block) const;

  /// The first block from `from` on that has a copy.
  std::optional<BlockNo> next(BlockNo from) const;

  size_t size() const { return copies_.size(); }

  /// Blocks that were added, revoked or lost their copy since the last call.
  /// Sorted, no two alike.
  std::vector<BlockNo> take_touched();

 private:
  struct Newest {
    uint32_t id = 0;
    uint32_t position = 0;
    bool is_escaped = false;
  };

  void touch(BlockNo block);

  std::map<BlockNo, Newest> copies_;
  std::vector<BlockNo> touched_;  // some of them often
  size_t distinct_ = 0;           // when they were sorted last
};

}  // namespace ovl
