// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace ovl {

/// A block of the log within one generation: segments of the generation in
/// order, so that a later record has a higher place. 30 bits are used.
enum class LogPlace : uint32_t {};

constexpr uint32_t to_int(LogPlace place) {
  return static_cast<uint32_t>(place);
}

inline constexpr uint32_t kMaxLogPlace = 0x3fffffff;

}  // namespace ovl
