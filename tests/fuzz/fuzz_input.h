// SPDX-License-Identifier: BSD-3-Clause
//
// The bytes of a fuzzer's input, taken one by one; zeros when there are none
// left.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

namespace ovl {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0)
      return 0;
    --size_;
    return *data_++;
  }
  uint32_t word(int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value = value << 8 | byte();
    return value;
  }
  /// Mostly small, sometimes anything.
  uint64_t number() {
    const uint8_t first = byte();
    if (first < 250)
      return first;
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i)
      value = value << 8 | byte();
    return value;
  }
  std::string bytes(size_t count) {
    std::string out(count, '\0');
    for (char& each : out)
      each = static_cast<char>(byte());
    return out;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

/// Ends the program, which a fuzzer reports, unless `holds`.
inline void check(bool holds) {
  if (!holds)
    std::abort();
}

}  // namespace ovl
