// SPDX-License-Identifier: BSD-3-Clause
//
// A device as its journal would leave it: the copies of committed transactions
// in the places that they are of. A read costs its length, not the journal.
#pragma once

#include "fsengine/base/block_source.h"
#include "images/journal/journal_log.h"

namespace ovl {

class CommittedView : public BlockSource {
 public:
  /// `log` has advanced to the state of `device`; both outlive the view, and
  /// do not change meanwhile.
  CommittedView(const BlockSource& device, const JournalLog& log)
      : device_(device), log_(log) {}

  uint64_t size() const override { return device_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override;
  uint64_t zeros_at(uint64_t offset, uint64_t length) const override;
  /// How many bytes from `offset` on, at most `length`, are the device's: no
  /// copy in the journal stands for them.
  uint64_t in_place_at(uint64_t offset, uint64_t length) const;

 private:
  Status read_copy(uint64_t offset, std::span<std::byte> out) const;

  const BlockSource& device_;
  const JournalLog& log_;
};

}  // namespace ovl
