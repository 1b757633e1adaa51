// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/zero_extents.h"

#include <algorithm>

namespace ovl {

// Makes `block` a border between extents, if one goes across it.
void ZeroExtents::split_at(uint64_t block) {
  auto after = extents_.lower_bound(block);
  if (after == extents_.begin())
    return;
  Tail& before = std::prev(after)->second;
  if (before.end <= block)
    return;
  extents_.emplace_hint(after, block, before);
  before.end = block;
}

void ZeroExtents::insert(BlockNo first, uint64_t count, LogPlace time) {
  const uint64_t begin = to_int(first);
  const uint64_t end = begin + count;
  const WriterLock lock(mutex_);
  split_at(begin);
  split_at(end);
  extents_.erase(extents_.lower_bound(begin), extents_.lower_bound(end));
  extents_[begin] = {end, time};
  any_.store(true, std::memory_order_release);
}

ZeroExtents::Piece ZeroExtents::piece_at(BlockNo first, uint64_t max) const {
  if (empty())
    return {std::nullopt, max};
  const uint64_t block = to_int(first);
  const ReaderLock lock(mutex_);
  const auto after = extents_.upper_bound(block);
  if (after != extents_.begin()) {
    const Tail& tail = std::prev(after)->second;
    if (tail.end > block)
      return {tail.time, std::min(max, tail.end - block)};
  }
  if (after == extents_.end())
    return {std::nullopt, max};
  return {std::nullopt, std::min(max, after->first - block)};
}

std::vector<ZeroExtents::Extent> ZeroExtents::all() const {
  std::vector<Extent> result;
  const ReaderLock lock(mutex_);
  for (const auto& [begin, tail] : extents_)
    result.push_back({BlockNo{begin}, tail.end - begin, tail.time});
  return result;
}

}  // namespace ovl
