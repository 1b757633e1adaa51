// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/journal_copies.h"

#include <algorithm>
#include <utility>

namespace ovl {

namespace {

constexpr size_t kUnsorted = 4096;  // blocks that may be there often

void sort_out(std::vector<BlockNo>& blocks) {
  std::ranges::sort(blocks);
  blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
}

}  // namespace

void JournalCopies::add(const JournalTransaction& transaction) {
  for (const JournalCopy& copy : transaction.copies) {
    copies_[copy.block] = {transaction.id, copy.position, copy.is_escaped};
    touch(copy.block);
  }
  // The transaction's own copies, too, wherever in it they are revoked.
  for (const BlockNo block : transaction.revoked) {
    copies_.erase(block);
    touch(block);
  }
}

void JournalCopies::remove(uint32_t id, std::span<const JournalCopy> copies) {
  for (const JournalCopy& copy : copies) {
    const auto at = copies_.find(copy.block);
    if (at == copies_.end() || at->second.id != id)
      continue;
    copies_.erase(at);
    touch(copy.block);
  }
}

std::optional<JournalCopy> JournalCopies::find(BlockNo block) const {
  const auto at = copies_.find(block);
  if (at == copies_.end())
    return {};
  return JournalCopy{block, at->second.position, at->second.is_escaped};
}

std::optional<BlockNo> JournalCopies::next(BlockNo from) const {
  const auto at = copies_.lower_bound(from);
  if (at == copies_.end())
    return {};
  return at->first;
}

std::vector<BlockNo> JournalCopies::take_touched() {
  sort_out(touched_);
  distinct_ = 0;
  return std::exchange(touched_, {});
}

void JournalCopies::touch(BlockNo block) {
  touched_.push_back(block);
  if (touched_.size() < 2 * distinct_ + kUnsorted)
    return;
  sort_out(touched_);
  distinct_ = touched_.size();
}

}  // namespace ovl
