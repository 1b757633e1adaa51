// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/log_format.h"

#include <cstring>

#include <xxhash.h>
#ifdef OVL_XXHASH_DISPATCHES
#include <xxh_x86dispatch.h>  // redefines XXH3_64bits; the hash is the same
#endif

#include "fsengine/base/little_endian.h"

namespace ovl {
namespace {

constexpr char kSegmentMagic[8] = {'O', 'V', 'L', 'L', 'O', 'G', 0, 0};
constexpr char kHeadMagic[4] = {'O', 'V', 'L', 'R'};
constexpr uint32_t kVersion = 1;
constexpr size_t kHashedBytes = 56;  // of a header and of a head
static_assert(kHashedBytes + sizeof(uint64_t) == kSegmentHeaderBytes);
static_assert(kHashedBytes + sizeof(uint64_t) == kRecordHeadBytes);

uint64_t hash_front(std::span<const std::byte> bytes, uint64_t seed) {
  return XXH64(bytes.data(), kHashedBytes, seed);
}

}  // namespace

std::array<std::byte, kSegmentHeaderBytes> encode(const SegmentHeader& header) {
  std::array<std::byte, kSegmentHeaderBytes> bytes{};
  std::memcpy(bytes.data(), kSegmentMagic, sizeof(kSegmentMagic));
  store_le(std::span(bytes), 8, kVersion);
  store_le(std::span(bytes), 12, header.blocks);
  store_le(std::span(bytes), 16, header.sequence);
  store_le(std::span(bytes), 24, header.incarnation);
  store_le(std::span(bytes), 32, header.first);
  store_le(std::span(bytes), 40, header.fingerprint);
  store_le(std::span(bytes), 48, header.durable);
  store_le(std::span(bytes), kHashedBytes, hash_front(bytes, 0));
  return bytes;
}

std::array<std::byte, kRecordHeadBytes> encode(const RecordHead& head,
                                               uint64_t incarnation) {
  std::array<std::byte, kRecordHeadBytes> bytes{};
  std::memcpy(bytes.data(), kHeadMagic, sizeof(kHeadMagic));
  store_le(std::span(bytes), 4, head.kind);
  store_le(std::span(bytes), 8, head.position);
  store_le(std::span(bytes), 16, head.first);
  store_le(std::span(bytes), 24, head.count);
  store_le(std::span(bytes), 32, head.durable);
  store_le(std::span(bytes), 40, head.payload_hash);
  store_le(std::span(bytes), 48, head.payload_block);
  store_le(std::span(bytes), kHashedBytes, hash_front(bytes, incarnation));
  return bytes;
}

HeaderState decode_segment_header(
    std::span<const std::byte, kSegmentHeaderBytes> bytes,
    SegmentHeader& header) {
  if (std::memcmp(bytes.data(), kSegmentMagic, sizeof(kSegmentMagic)) != 0 ||
      load_le<uint64_t>(bytes, kHashedBytes) != hash_front(bytes, 0))
    return HeaderState::kNone;
  if (load_le<uint32_t>(bytes, 8) != kVersion)
    return HeaderState::kUnknownVersion;
  header.blocks = load_le<uint32_t>(bytes, 12);
  header.sequence = load_le<uint64_t>(bytes, 16);
  header.incarnation = load_le<uint64_t>(bytes, 24);
  header.first = load_le<Position>(bytes, 32);
  header.fingerprint = load_le<uint64_t>(bytes, 40);
  header.durable = load_le<Position>(bytes, 48);
  return HeaderState::kValid;
}

std::optional<RecordHead> decode_record_head(
    std::span<const std::byte, kRecordHeadBytes> bytes, uint64_t incarnation) {
  if (std::memcmp(bytes.data(), kHeadMagic, sizeof(kHeadMagic)) != 0 ||
      load_le<uint64_t>(bytes, kHashedBytes) != hash_front(bytes, incarnation))
    return std::nullopt;
  RecordHead head;
  head.kind = load_le<RecordKind>(bytes, 4);
  head.position = load_le<Position>(bytes, 8);
  head.first = load_le<BlockNo>(bytes, 16);
  head.count = load_le<uint64_t>(bytes, 24);
  head.durable = load_le<Position>(bytes, 32);
  head.payload_hash = load_le<uint64_t>(bytes, 40);
  head.payload_block = load_le<uint32_t>(bytes, 48);
  const bool known = head.kind == RecordKind::kWrite ||
                     head.kind == RecordKind::kZero ||
                     head.kind == RecordKind::kPlaced;
  if (!known)
    return std::nullopt;
  return head;
}

uint64_t hash_payload(std::span<const std::byte> payload) {
  return XXH3_64bits(payload.data(), payload.size());
}

}  // namespace ovl
