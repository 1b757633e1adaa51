// SPDX-License-Identifier: BSD-3-Clause
//
// Reads one transaction of a journal's log. For one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fsengine/base/block_source.h"
#include "images/journal/journal_file.h"
#include "images/journal/journal_format.h"

namespace ovl {

/// A copy in the log: the content of `block` is at `position` of the journal.
struct JournalCopy {
  BlockNo block{};
  uint32_t position = 0;
  bool is_escaped = false;
};

struct JournalTransaction {
  uint32_t id = 0;
  uint32_t first = 0;   // position of its first block,
  uint32_t commit = 0;  // of its last,
  uint32_t next = 0;    // and of what follows
  uint32_t blocks = 0;
  std::vector<JournalCopy> copies;  // in the order of the log
  std::vector<BlockNo> revoked;     // copies up to this transaction are void
};

/// Where to look for a transaction, and how far.
struct JournalPlace {
  uint32_t id = 0;
  uint32_t position = 0;
  uint32_t blocks = 0;  // it has no more
};

struct FoundTransaction {
  enum class Kind {
    kNone,       // the log ends here, perhaps within a transaction
    kDamaged,    // it has a commit block, and some checksum is wrong
    kCommitted,  // all is there
  };
  Kind kind = Kind::kNone;
  std::string damage;              // what is wrong
  JournalTransaction transaction;  // ends where a damaged one seems to
};

/// The journal that is read: all that a scan needs besides the place.
struct JournalSource {
  const BlockSource& device;
  const JournalFile& file;
  const JournalSuperblock& super;
};

/// The transaction `place.id`, which begins at `place`. EUCLEAN when it is
/// committed and makes no sense; errors of reading.
Result<FoundTransaction> find_transaction(const JournalSource& journal,
                                          const JournalPlace& place);

}  // namespace ovl
