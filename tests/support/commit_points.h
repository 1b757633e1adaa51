// SPDX-License-Identifier: BSD-3-Clause
//
// Where in a trace the journal's commit records are.
#pragma once

#include <cstddef>
#include <vector>

#include "images/image.h"
#include "tests/support/write_trace.h"

namespace ovl {

/// A position is a number of records of a trace: the device's state after so
/// many of them.
using Positions = std::vector<size_t>;

/// The device blocks of a journal, with the indirect blocks of an ext2 one.
struct JournalRange {
  uint64_t first = 0;
  uint64_t count = 0;

  bool holds(uint64_t block) const {
    return block >= first && block - first < count;
  }
};

/// Where `image` has its journal. REQUIRES: it has one.
JournalRange journal_range(const Image& image);

/// The positions right after a write of one commit record or more, in order.
Positions commit_points(const Trace& trace, const JournalRange& journal);

}  // namespace ovl
