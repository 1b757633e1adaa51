// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/log_format.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace ovl {
namespace {

std::vector<std::byte> payload_of(size_t blocks) {
  std::vector<std::byte> bytes(blocks * kBlockSize);
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>((i * i + i / 251) % 256);
  return bytes;
}

// Logs outlive the processor that they were written on, and the library.
TEST(LogFormat, HashOfAPayloadIsTheSameEverywhere) {
  EXPECT_EQ(hash_payload(payload_of(1)), 0x86f8a091dff26644U);
  EXPECT_EQ(hash_payload(payload_of(kMaxRecordBlocks)), 0x2e745277ea168de4U);
}

}  // namespace
}  // namespace ovl
