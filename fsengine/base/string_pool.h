// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace ovl {

/// A name or a symlink target in a StringPool.
enum class StrRef : uint32_t {};

/// Strings of up to 64 KiB packed one behind the other, never freed, named by
/// a 32-bit reference: two million names cost their bytes and little more.
/// References and views stay valid while the pool lives. Adding is for one
/// thread at a time; reading what was added before is for any.
class StringPool {
 public:
  /// REQUIRES: text.size() < 65536, and room: see full().
  StrRef add(std::string_view text);
  std::string_view get(StrRef ref) const;

  /// True when the pool may have no room for another string (4 GiB are used).
  bool full() const { return chunks_.size() >= kMaxChunks; }

  /// The pool as bytes: reference r is byte r, where 16 bits of length stand,
  /// and behind them the string. None reaches beyond its chunk; what a chunk
  /// has no more room for is zeros. All chunks but the last are kChunkBytes.
  static constexpr uint32_t kChunkBytes = 1 << 20;
  size_t chunk_count() const { return chunks_.size(); }
  std::span<const char> chunk(size_t index) const;

  /// Room for the bytes of another chunk, to be filled with what chunk() gave.
  /// REQUIRES: those before are kChunkBytes; bytes <= kChunkBytes; not full().
  std::span<char> add_chunk(uint32_t bytes);

 private:
  void close_last_chunk();

  static constexpr uint32_t kMaxChunks = (1 << 12) - 1;

  std::vector<std::unique_ptr<char[]>> chunks_;
  uint32_t used_in_last_ = kChunkBytes;
};

}  // namespace ovl
