// SPDX-License-Identifier: BSD-3-Clause
#include "images/crc16.h"

namespace ovl {

uint16_t crc16(uint16_t crc, std::span<const std::byte> bytes) {
  constexpr uint32_t kReflected = 0xa001;
  uint32_t value = crc;
  for (const std::byte byte : bytes) {
    value ^= std::to_integer<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit)
      value = value >> 1 ^ ((value & 1) != 0 ? kReflected : 0);
  }
  return static_cast<uint16_t>(value);
}

}  // namespace ovl
