// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/string_pool.h"

#include <malloc.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ovl {
namespace {

/// Memory that a program gets is filled with something while one lives, so
/// that what is used without having been written shows.
class DirtyMemory {
 public:
  DirtyMemory() { ::mallopt(M_PERTURB, 0xa5); }
  ~DirtyMemory() { ::mallopt(M_PERTURB, 0); }
  DirtyMemory(const DirtyMemory&) = delete;
  DirtyMemory& operator=(const DirtyMemory&) = delete;
};

std::string some_text(size_t index) {
  return std::to_string(index) + std::string(40000 + index, 'x');
}

/// How many bytes at the end of `bytes` are zeros.
size_t zeros_behind(std::span<const char> bytes) {
  const auto last = std::find_if(bytes.rbegin(), bytes.rend(),
                                 [](char c) { return c != '\0'; });
  return static_cast<size_t>(last - bytes.rbegin());
}

TEST(StringPoolTest, StringsAreFoundInEveryChunk) {
  StringPool pool;
  std::vector<StrRef> refs;
  for (size_t i = 0; i < 100; ++i)
    refs.push_back(pool.add(some_text(i)));
  EXPECT_GT(pool.chunk_count(), 3U);
  for (size_t i = 0; i < refs.size(); ++i)
    EXPECT_EQ(pool.get(refs[i]), some_text(i));
}

// They are a part of the layout's file, in which nobody's memory belongs.
TEST(StringPoolTest, WhatAChunkHasNoMoreRoomForIsZeros) {
  const DirtyMemory dirty;
  StringPool pool;
  size_t used = 0;
  while (pool.chunk_count() < 2) {
    used += sizeof(uint16_t) + some_text(0).size();
    pool.add(some_text(0));
  }
  used -= sizeof(uint16_t) + some_text(0).size();
  ASSERT_LT(used, StringPool::kChunkBytes);
  EXPECT_EQ(zeros_behind(pool.chunk(0)), StringPool::kChunkBytes - used);
  EXPECT_EQ(pool.chunk(1).size(), sizeof(uint16_t) + some_text(0).size());
}

TEST(StringPoolTest, APoolThatWasReadGoesOn) {
  const DirtyMemory dirty;
  StringPool pool;
  const StrRef first = pool.add("first");
  StringPool other;
  const auto bytes = pool.chunk(0);
  std::ranges::copy(
      bytes, other.add_chunk(static_cast<uint32_t>(bytes.size())).begin());
  std::vector<StrRef> refs;
  for (size_t i = 0; i < 40; ++i)
    refs.push_back(other.add(some_text(i)));
  EXPECT_EQ(other.get(first), "first");
  EXPECT_EQ(other.get(refs.back()), some_text(39));
  EXPECT_GT(zeros_behind(other.chunk(0)), 0U);
}

}  // namespace
}  // namespace ovl
