// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/block_set.h"

#include <algorithm>
#include <iterator>

namespace ovl {

// Every run that overlaps or touches the new one becomes a part of it.
bool BlockSet::add(BlockNo block, uint64_t count) {
  if (count == 0)
    return true;
  uint64_t first = to_int(block);
  uint64_t end = first + count;
  bool is_new = true;
  auto at = runs_.upper_bound(first);
  if (at != runs_.begin() && std::prev(at)->second >= first)
    --at;
  while (at != runs_.end() && at->first <= end) {
    is_new &= at->second <= to_int(block) || at->first >= to_int(block) + count;
    first = std::min(first, at->first);
    end = std::max(end, at->second);
    at = runs_.erase(at);
  }
  runs_.emplace_hint(at, first, end);
  return is_new;
}

bool BlockSet::test(BlockNo block) const {
  const auto next = runs_.upper_bound(to_int(block));
  return next != runs_.begin() && to_int(block) < std::prev(next)->second;
}

}  // namespace ovl
