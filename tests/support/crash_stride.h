// SPDX-License-Identifier: BSD-3-Clause
//
// Sweeps that stop at each operation take a sample where time is short.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>

namespace ovl {

/// OVL_CRASH_STRIDE=N takes every Nth case only (tests/run.sh, the sanitizer
/// builds); 1 takes all, for a soak. `usual` counts without it.
inline uint64_t crash_stride(uint64_t usual = 1) {
  const char* every = std::getenv("OVL_CRASH_STRIDE");
  const uint64_t stride =
      every == nullptr ? usual : std::strtoull(every, nullptr, 10);
  return stride == 0 ? 1 : stride;
}

/// The case that a sample begins with: another one each time, which is told.
inline uint64_t crash_start() {
  static const uint64_t start = [] {
    const uint64_t stride = crash_stride();
    const uint64_t first = stride == 1 ? 0 : std::random_device()() % stride;
    if (stride > 1)
      std::cout << "every " << stride << "th, from " << first << " on\n";
    return first;
  }();
  return start;
}

}  // namespace ovl
