// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal.h"

#include <endian.h>

#include <array>
#include <cstring>

#include "fsengine/base/units.h"

namespace ovl {

namespace {

constexpr uint32_t kMagic = 0xC03B3998;
constexpr uint32_t kSuperblockV2 = 4;

// The fields of the journal superblock that are not zero; big endian.
struct JournalSuperblock {
  uint32_t magic;
  uint32_t blocktype;
  uint32_t header_sequence;
  uint32_t blocksize;
  uint32_t maxlen;
  uint32_t first;
  uint32_t sequence;
  uint32_t start;
  uint32_t error;
  uint32_t features[3];
  uint8_t uuid[16];
  uint32_t nr_users;
};
static_assert(offsetof(JournalSuperblock, uuid) == 0x30);
static_assert(offsetof(JournalSuperblock, nr_users) == 0x40);

struct JournalStep {
  uint32_t groups;  // of 128 MiB, at most
  uint32_t blocks;
};
constexpr std::array<JournalStep, 3> kSteps{{{1, 1024}, {8, 4096}, {16, 8192}}};
constexpr uint32_t kLargest = 16384;

}  // namespace

uint32_t journal_blocks_for(uint32_t groups) {
  for (const JournalStep& step : kSteps)
    if (groups <= step.groups)
      return step.blocks;
  return kLargest;
}

void fill_journal_superblock(uint32_t journal_blocks, const Uuid& uuid,
                             std::span<std::byte> out) {
  JournalSuperblock sb{};
  sb.magic = htobe32(kMagic);
  sb.blocktype = htobe32(kSuperblockV2);
  sb.blocksize = htobe32(kBlockSize);
  sb.maxlen = htobe32(journal_blocks);
  sb.first = htobe32(1);
  sb.sequence = htobe32(1);
  std::memcpy(sb.uuid, uuid.data(), uuid.size());
  sb.nr_users = htobe32(1);
  std::memcpy(out.data(), &sb, sizeof sb);
}

}  // namespace ovl
