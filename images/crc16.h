// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ovl {

/// CRC-16 (polynomial 0x8005, reflected) going on from `crc`: the checksum of
/// group descriptors.
uint16_t crc16(uint16_t crc, std::span<const std::byte> bytes);

}  // namespace ovl
