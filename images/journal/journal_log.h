// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest's journal (jbd2) has committed and the guest need not have
// written in place: the newest copy of each block in the log. Kept across
// calls, so that looking again costs what is new. For one thread at a time;
// several may call the const functions while nobody calls the others.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "fsengine/base/block_source.h"
#include "images/ext_block_map.h"
#include "images/journal/journal_copies.h"
#include "images/journal/journal_file.h"
#include "images/journal/journal_scan.h"

namespace ovl {

class JournalLog {
 public:
  /// Looks at the journal whose file is at `runs` of `device`. What find()
  /// tells then is where on this state of the device a copy is: a later state
  /// needs another call, with the same journal's or other runs. Costs the
  /// transactions that were not there at the last call.
  ///
  /// ENOTSUP: the journal has features that we cannot read, named. EUCLEAN:
  /// it makes no sense, or it is damaged before the last transaction (what is
  /// wrong in the last one was never committed). After an error nothing has
  /// changed, and find() and so on speak of the state before.
  Status advance(const BlockSource& device, std::span<const MappedRun> runs);

  /// Nothing is in the log: all that was committed is in place.
  bool is_empty() const { return super_.start == 0; }

  /// Of the last transaction that is known to be committed. Grows, modulo
  /// 2^32, and may leave numbers out. 0 before any.
  uint32_t last_transaction() const { return next_.id - 1; }

  /// The errno, negative, that the guest left in the journal when it gave it
  /// up, which is to say that it found its file system corrupt; 0: none.
  int32_t guest_error() const { return super_.error; }

  struct Copy {
    BlockNo at{};             // block of the device
    bool is_escaped = false;  // its first four bytes are the magic number's
  };
  /// Where the committed content of `block` is, when not in place.
  std::optional<Copy> find(BlockNo block) const;

  /// The first block from `from` on that find() knows a copy of.
  std::optional<BlockNo> next_copy(BlockNo from) const;

  /// Blocks whose committed content may have changed by the journal since the
  /// last call: those that new transactions name or revoke, and those whose
  /// copy left the log. Sorted, no two alike. Transactions that came and left
  /// between two calls of advance() are not among it: the guest wrote all of
  /// theirs in place in that time.
  std::vector<BlockNo> take_touched() { return copies_.take_touched(); }

 private:
  // Without what it revoked: that took effect when it was added.
  struct Kept {
    uint32_t id = 0;
    uint32_t first = 0;
    uint32_t commit = 0;
    uint32_t blocks = 0;
    std::vector<JournalCopy> copies;
  };
  struct News {
    size_t dropped = 0;  // of the kept ones, from the tail on
    std::vector<JournalTransaction> transactions;
    JournalPlace next;  // where a later one will be
  };

  Result<News> look(const JournalSource& journal) const;
  Result<size_t> count_dropped(const JournalSource& journal) const;
  JournalPlace place_behind(size_t dropped,
                            const JournalSuperblock& super) const;
  void take(News news);

  JournalFile file_;
  JournalSuperblock super_;
  std::deque<Kept> kept_;  // from the tail on, without a gap
  JournalPlace next_{1, 0, 0};
  JournalCopies copies_;
};

}  // namespace ovl
