// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal_check.h"

#include <endian.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace ovl {

namespace {

constexpr uint32_t kJournalMagic = 0xC03B3998;
constexpr size_t kStartOffset = 0x1c;
constexpr size_t kErrorOffset = 0x20;

using Block = std::array<std::byte, kBlockSize>;

// Numbers in a journal are big endian.
uint32_t number_at(const Block& block, size_t offset) {
  uint32_t value;
  std::memcpy(&value, block.data() + offset, sizeof value);
  return be32toh(value);
}

}  // namespace

Status check_journal_is_empty(const BlockSource& device, const BlockMap& map) {
  if (map.runs.empty() || map.runs[0].file_block != 0)
    return fail(EUCLEAN, "the journal has no first block");
  Block block;
  OVL_TRY(device.read(to_int(map.runs[0].device) * kBlockSize, block));
  if (number_at(block, 0) != kJournalMagic)
    return fail(EUCLEAN, "the journal has no valid superblock");
  if (number_at(block, kStartOffset) != 0)
    return fail(EBUSY, "the file system is not clean: its journal is in use");
  if (number_at(block, kErrorOffset) != 0)
    return fail(EBUSY,
                "the file system is not clean: the guest noted errors in its "
                "journal, run e2fsck");
  return {};
}

}  // namespace ovl
