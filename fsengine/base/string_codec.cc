// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/string_codec.h"

#include <algorithm>
#include <cstring>

namespace ovl {
namespace {

// Calls `use` with the offset of each string; false when the last one reaches
// beyond the chunk.
template <typename Use>
bool for_each_start(std::span<const char> chunk, Use use) {
  uint16_t length = 0;
  for (size_t at = 0; at + sizeof length <= chunk.size();
       at += sizeof length + length) {
    std::memcpy(&length, &chunk[at], sizeof length);
    if (length > chunk.size() - at - sizeof length)
      return false;
    use(at);
  }
  return true;
}

}  // namespace

Status write_strings(CheckedWriter& out, const StringPool& pool) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < pool.chunk_count(); ++i)
    bytes += pool.chunk(i).size();
  OVL_TRY(out.put(bytes));
  for (size_t i = 0; i < pool.chunk_count(); ++i)
    OVL_TRY(out.put_bytes(std::as_bytes(pool.chunk(i))));
  return {};
}

Result<StringPool> read_strings(CheckedReader& in) {
  auto left = OVL_TRY(in.get<uint64_t>());
  OVL_TRY(in.expect(left, 1));
  StringPool pool;
  while (left > 0) {
    if (pool.full())
      return damaged("too many strings");
    const auto part = std::min<uint64_t>(left, StringPool::kChunkBytes);
    const auto chunk = pool.add_chunk(static_cast<uint32_t>(part));
    OVL_TRY(in.get_bytes(std::as_writable_bytes(chunk)));
    if (!for_each_start(chunk, [](size_t) {}))
      return damaged("a string reaches beyond its chunk");
    left -= part;
  }
  return pool;
}

StringStarts::StringStarts(const StringPool& pool) {
  for (size_t i = 0; i < pool.chunk_count(); ++i) {
    const auto chunk = pool.chunk(i);
    const size_t base = is_start_.size();
    is_start_.resize(base + chunk.size());
    (void)for_each_start(chunk,
                         [&](size_t at) { is_start_[base + at] = true; });
  }
}

}  // namespace ovl
