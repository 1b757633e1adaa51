// SPDX-License-Identifier: BSD-3-Clause
//
// A set of device blocks: bitmaps of 1024 blocks where there are any.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

class BlockSet {
 public:
  /// Adds [first, first + count). False when one of them was in it already.
  bool add(BlockNo first, uint64_t count);
  bool test(BlockNo block) const;
  bool empty() const { return chunks_.empty(); }
  void clear() { chunks_.clear(); }

  struct Run {
    BlockNo first{};
    uint64_t count = 0;
  };
  /// Calls `visit(Run)`, which returns a Status, for runs in order, which may
  /// be cut where a bitmap ends. Ends with the first error.
  template <typename Visit>
  Status for_each_run(Visit visit) const {
    for (const auto& [chunk, bits] : chunks_)
      for (uint32_t at = 0; at < kChunk;) {
        const uint32_t first = next(bits, at, true);
        at = next(bits, first, false);
        if (first == at)
          continue;
        Status status =
            visit(Run{BlockNo{chunk * kChunk + first}, uint64_t{at} - first});
        if (!status)
          return status;
      }
    return {};
  }

 private:
  static constexpr uint32_t kChunk = 1024;
  using Bits = std::array<uint64_t, kChunk / 64>;

  /// The first bit from `at` on that is `value`, or kChunk.
  static uint32_t next(const Bits& bits, uint32_t at, bool value);

  std::map<uint64_t, Bits> chunks_;
};

}  // namespace ovl
