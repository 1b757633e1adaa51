// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/block_set.h"

#include <algorithm>
#include <bit>

namespace ovl {

bool BlockSet::add(BlockNo first, uint64_t count) {
  bool is_new = true;
  auto chunk = chunks_.end();
  for (uint64_t at = to_int(first), end = at + count; at < end;) {
    if (chunk == chunks_.end() || chunk->first != at / kChunk)
      chunk = chunks_.try_emplace(at / kChunk).first;
    uint64_t& word = chunk->second[at % kChunk / 64];
    const uint64_t bit = at % 64;
    const uint64_t n = std::min(end - at, 64 - bit);
    const uint64_t mask = (~uint64_t{0} >> (64 - n)) << bit;
    is_new &= (word & mask) == 0;
    word |= mask;
    at += n;
  }
  return is_new;
}

bool BlockSet::test(BlockNo block) const {
  const auto chunk = chunks_.find(to_int(block) / kChunk);
  if (chunk == chunks_.end())
    return false;
  const uint64_t at = to_int(block) % kChunk;
  return (chunk->second[at / 64] >> at % 64 & 1) != 0;
}

uint32_t BlockSet::next(const Bits& bits, uint32_t at, bool value) {
  while (at < kChunk) {
    const uint64_t word = value ? bits[at / 64] : ~bits[at / 64];
    const uint64_t rest = word >> at % 64;
    if (rest != 0)
      return at + static_cast<uint32_t>(std::countr_zero(rest));
    at = (at / 64 + 1) * 64;
  }
  return kChunk;
}

}  // namespace ovl
