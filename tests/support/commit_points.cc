// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/commit_points.h"

#include <endian.h>

#include <cstring>

#include "fsengine/base/units.h"

namespace ovl {
namespace {

constexpr Ino kJournalIno{8};
constexpr size_t kInodeSize = 4;  // offsets in an inode
constexpr size_t kInodeBlocks = 40;
constexpr uint16_t kExtentMagic = 0xf30a;
constexpr size_t kFirstExtentStart = 20;  // in the inode's block area
constexpr uint32_t kJournalMagic = 0xc03b3998;
constexpr uint32_t kCommitBlock = 2;
constexpr uint32_t kPointersInBlock = kBlockSize / 4;

template <typename T>
T load(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

bool is_commit_record(std::span<const std::byte> block) {
  return be32toh(load<uint32_t>(block, 0)) == kJournalMagic &&
         be32toh(load<uint32_t>(block, 4)) == kCommitBlock;
}

bool has_commit_record(const TraceRecord& record, const JournalRange& journal) {
  if (record.offset % kBlockSize != 0)
    return false;
  for (uint64_t at = 0; at + kBlockSize <= record.bytes.size();
       at += kBlockSize)
    if (journal.holds((record.offset + at) / kBlockSize) &&
        is_commit_record(record.bytes.subspan(at, kBlockSize)))
      return true;
  return false;
}

}  // namespace

JournalRange journal_range(const Image& image) {
  const auto inode = image.inode_bytes(kJournalIno);
  const uint64_t blocks = load<uint32_t>(inode, kInodeSize) / kBlockSize;
  if (load<uint16_t>(inode, kInodeBlocks) == kExtentMagic)
    return {load<uint32_t>(inode, kInodeBlocks + kFirstExtentStart), blocks};
  const uint64_t indirect = 2 + blocks / kPointersInBlock;
  return {load<uint32_t>(inode, kInodeBlocks), blocks + indirect};
}

Positions commit_points(const Trace& trace, const JournalRange& journal) {
  Positions points;
  for (size_t i = 0; i < trace.records().size(); ++i)
    if (has_commit_record(trace.records()[i], journal))
      points.push_back(i + 1);
  return points;
}

}  // namespace ovl
