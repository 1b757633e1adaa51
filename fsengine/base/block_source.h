// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/result.h"

namespace ovl {

/// Anything that can be read at a byte offset: the device as the guest sees
/// it, an image file, the content of one file. Implementations are safe for
/// concurrent readers unless they say otherwise.
class BlockSource {
 public:
  virtual ~BlockSource() = default;

  /// In bytes; constant while the source lives.
  virtual uint64_t size() const = 0;

  /// Fills `out` from `offset`. REQUIRES: offset + out.size() <= size().
  /// On error the content of `out` is unspecified, and never to be used.
  virtual Status read(uint64_t offset, std::span<std::byte> out) const = 0;

  /// How many bytes from `offset` on, at most `length`, are known to be zeros
  /// without reading them.
  virtual uint64_t zeros_at(uint64_t, uint64_t) const { return 0; }
};

}  // namespace ovl
