// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

namespace ovl {

/// Keeps one copy of each distinct value and names it by a small id; id 0 is
/// the default-constructed value. Values are never freed and do not move.
/// Interning is for one thread at a time; reading what was interned before is
/// for any. T needs operator== and Hash.
template <typename T, typename Id, typename Hash>
class Interned {
 public:
  Interned() { intern(T()); }

  Id intern(T value) {
    const auto hash = Hash()(value);
    auto [at, end] = by_hash_.equal_range(hash);
    for (; at != end; ++at)
      if (get(at->second) == value)
        return at->second;
    const Id id{static_cast<uint32_t>(values_.size())};
    values_.push_back(std::move(value));
    by_hash_.emplace(hash, id);
    return id;
  }

  const T& get(Id id) const { return values_[static_cast<uint32_t>(id)]; }
  uint32_t size() const { return static_cast<uint32_t>(values_.size()); }

 private:
  std::deque<T> values_;
  std::unordered_multimap<uint64_t, Id> by_hash_;
};

}  // namespace ovl
