// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/string_starts.h"

#include <cstring>

#include "fsengine/base/checked_file.h"

namespace ovl {

Result<StringStarts> StringStarts::of(const StringPool& pool) {
  StringStarts starts;
  for (size_t i = 0; i < pool.chunk_count(); ++i) {
    const auto chunk = pool.chunk(i);
    const size_t base = starts.is_start_.size();
    starts.is_start_.resize(base + chunk.size());
    uint16_t length = 0;
    for (size_t at = 0; at + sizeof length <= chunk.size();
         at += sizeof length + length) {
      std::memcpy(&length, &chunk[at], sizeof length);
      if (length > chunk.size() - at - sizeof length)
        return damaged("a string reaches beyond its chunk");
      starts.is_start_[base + at] = true;
    }
  }
  return starts;
}

}  // namespace ovl
