// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ovl {

static_assert(std::endian::native == std::endian::little,
              "persistent integers are copied as they are");

/// The little-endian integer at `offset`. REQUIRES: it lies in `bytes`.
template <typename Integer>
Integer load_le(std::span<const std::byte> bytes, size_t offset) {
  Integer value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

/// Puts `value` at `offset`. REQUIRES: it fits into `bytes`.
template <typename Integer>
void store_le(std::span<std::byte> bytes, size_t offset, Integer value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

}  // namespace ovl
