// SPDX-License-Identifier: BSD-3-Clause
// Numbers in a journal are big endian.
#pragma once

#include <endian.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/little_endian.h"

namespace ovl {

/// The integer at `offset`. REQUIRES: it lies in `bytes`.
inline uint16_t load_be16(std::span<const std::byte> bytes, size_t offset) {
  return be16toh(load_le<uint16_t>(bytes, offset));
}
inline uint32_t load_be32(std::span<const std::byte> bytes, size_t offset) {
  return be32toh(load_le<uint32_t>(bytes, offset));
}
inline uint64_t load_be64(std::span<const std::byte> bytes, size_t offset) {
  return be64toh(load_le<uint64_t>(bytes, offset));
}

/// Puts `value` at `offset`. REQUIRES: it fits into `bytes`.
inline void store_be16(std::span<std::byte> bytes, size_t offset,
                       uint16_t value) {
  store_le(bytes, offset, htobe16(value));
}
inline void store_be32(std::span<std::byte> bytes, size_t offset,
                       uint32_t value) {
  store_le(bytes, offset, htobe32(value));
}
inline void store_be64(std::span<std::byte> bytes, size_t offset,
                       uint64_t value) {
  store_le(bytes, offset, htobe64(value));
}

}  // namespace ovl
