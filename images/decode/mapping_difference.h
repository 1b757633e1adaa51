// SPDX-License-Identifier: BSD-3-Clause
//
// What of a file lies elsewhere than before.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "images/decode/mapping.h"

namespace ovl {

/// A block as a mapping tells it; no value: a hole.
struct MappedTo {
  uint32_t device = 0;
  RunKind kind = RunKind::kData;
};

/// File blocks [first, first + count) were `before` and are `now`, the device
/// blocks rising with them. The two differ.
struct MappingDifference {
  uint64_t first = 0;
  uint64_t count = 0;
  std::optional<MappedTo> before;
  std::optional<MappedTo> now;
};

/// Calls `visit` for each difference, in file order. O(runs).
void compare_mappings(
    std::span<const MapRun> before, std::span<const MapRun> now,
    const std::function<void(const MappingDifference&)>& visit);

}  // namespace ovl
