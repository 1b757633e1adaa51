// SPDX-License-Identifier: BSD-3-Clause
//
// The bytes of a jbd2 journal: its superblock, and what of the other blocks
// depends on the features that stand there. Values; nothing is kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

inline constexpr uint32_t kJournalMagic = 0xC03B3998;

enum class JournalBlockType : uint32_t {
  kDescriptor = 1,
  kCommit = 2,
  kSuperblockV1 = 3,
  kSuperblockV2 = 4,
  kRevoke = 5,
};

/// What every block starts with that is not a copy.
struct JournalHeader {
  JournalBlockType type{};
  uint32_t transaction = 0;
};
inline constexpr size_t kJournalHeaderBytes = 12;

/// None where the magic number is not.
std::optional<JournalHeader> journal_header(std::span<const std::byte> block);

enum class JournalChecksums {
  kNone,
  kTransaction,  // v1: one in the commit block, over descriptors and copies
  kTagLow,       // v2: in each block; the tags have 16 bits of it
  kTag,          // v3: in each block; the tags have all of it
};

/// How the blocks are written.
struct JournalFormat {
  JournalChecksums checksums = JournalChecksums::kNone;
  bool is_64bit = false;
  bool is_async = false;  // a commit block may come before what it commits
  uint32_t seed = 0;      // of the checksums in each block

  bool has_block_checksums() const {
    return checksums == JournalChecksums::kTagLow ||
           checksums == JournalChecksums::kTag;
  }
  size_t tag_bytes() const;
  size_t revoked_bytes() const { return is_64bit ? 8 : 4; }
  /// Where tags and revoked blocks end: a checksum may follow.
  size_t area_end() const {
    return has_block_checksums() ? kBlockSize - sizeof(uint32_t) : kBlockSize;
  }
};

struct JournalSuperblock {
  JournalFormat format;
  uint32_t first = 0;     // block of the log,
  uint32_t end = 0;       // and the one behind its last
  uint32_t sequence = 0;  // of the transaction at `start`
  uint32_t start = 0;     // the tail; 0: the log is empty
  int32_t error = 0;      // an errno that the guest noted
  std::array<std::byte, 16> uuid{};
};

/// What the first block of a journal of `blocks` blocks says. ENOTSUP when we
/// cannot read such a journal, EUCLEAN when it is none.
Result<JournalSuperblock> read_journal_superblock(
    std::span<const std::byte> block, uint64_t blocks);

/// What a descriptor says of the block that follows for it.
struct JournalTag {
  uint64_t block = 0;
  uint32_t checksum = 0;
  bool is_escaped = false;  // the copy begins with zeros for the magic number
  bool is_last = false;
  size_t bytes = 0;  // with the UUID that may follow
};

/// The tag at `offset` of a descriptor, none when there is no room for one.
std::optional<JournalTag> journal_tag(const JournalFormat& format,
                                      std::span<const std::byte> block,
                                      size_t offset);

/// The numbers in the block of a descriptor or of revoked blocks fit.
bool is_block_sound(const JournalFormat& format,
                    std::span<const std::byte> block);
/// The same of a commit block in a journal with checksums in each block.
bool is_commit_sound(const JournalFormat& format,
                     std::span<const std::byte> block);
/// The checksum in `tag` is that of its copy in `transaction`.
bool is_copy_sound(const JournalFormat& format, const JournalTag& tag,
                   uint32_t transaction, std::span<const std::byte> copy);

/// v1: the checksum goes on over `block`.
uint32_t transaction_checksum(uint32_t so_far,
                              std::span<const std::byte> block);
inline constexpr uint32_t kTransactionChecksumStart = ~uint32_t{0};

enum class CommitChecksum { kNone, kFits, kDiffers };
/// v1: what a commit block says of the checksum of its transaction.
CommitChecksum check_transaction(std::span<const std::byte> commit,
                                 uint32_t checksum);

}  // namespace ovl
