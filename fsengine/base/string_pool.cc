// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/string_pool.h"

#include <cstring>

namespace ovl {

StrRef StringPool::add(std::string_view text) {
  const auto length = static_cast<uint16_t>(text.size());
  const auto need = static_cast<uint32_t>(sizeof(length) + text.size());
  if (kChunkBytes - used_in_last_ < need) {
    close_last_chunk();
    add_chunk(0);
  }
  char* at = chunks_.back().get() + used_in_last_;
  std::memcpy(at, &length, sizeof(length));
  std::memcpy(at + sizeof(length), text.data(), text.size());
  const auto chunk = static_cast<uint32_t>(chunks_.size() - 1);
  const StrRef ref{chunk * kChunkBytes + used_in_last_};
  used_in_last_ += need;
  return ref;
}

std::string_view StringPool::get(StrRef ref) const {
  const auto position = static_cast<uint32_t>(ref);
  const char* at =
      chunks_[position / kChunkBytes].get() + position % kChunkBytes;
  uint16_t length = 0;
  std::memcpy(&length, at, sizeof(length));
  return {at + sizeof(length), length};
}

std::span<const char> StringPool::chunk(size_t index) const {
  const bool last = index + 1 == chunks_.size();
  return {chunks_[index].get(), last ? used_in_last_ : kChunkBytes};
}

std::span<char> StringPool::add_chunk(uint32_t bytes) {
  // Not zeroed: a small tree touches a few pages of its chunk.
  chunks_.push_back(std::make_unique_for_overwrite<char[]>(kChunkBytes));
  used_in_last_ = bytes;
  return {chunks_.back().get(), bytes};
}

void StringPool::close_last_chunk() {
  if (!chunks_.empty())
    std::memset(chunks_.back().get() + used_in_last_, 0,
                kChunkBytes - used_in_last_);
}

}  // namespace ovl
