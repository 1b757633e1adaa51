// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/journal_format.h"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "images/journal/big_endian.h"

namespace ovl {

namespace {

// Of the superblock.
constexpr size_t kBlockSizeAt = 0x0c;
constexpr size_t kBlocksAt = 0x10;
constexpr size_t kFirstAt = 0x14;
constexpr size_t kSequenceAt = 0x18;
constexpr size_t kStartAt = 0x1c;
constexpr size_t kErrorAt = 0x20;
constexpr size_t kCompatAt = 0x24;
constexpr size_t kIncompatAt = 0x28;
constexpr size_t kReadOnlyCompatAt = 0x2c;
constexpr size_t kUuidAt = 0x30;
constexpr size_t kUsersAt = 0x40;
constexpr size_t kChecksumTypeAt = 0x50;
constexpr size_t kSuperChecksumAt = 0xfc;
constexpr size_t kSuperblockBytes = 1024;

constexpr uint32_t kCompatChecksum = 0x1;
constexpr uint32_t kRevoke = 0x1;
constexpr uint32_t k64Bit = 0x2;
constexpr uint32_t kAsyncCommit = 0x4;
constexpr uint32_t kChecksumV2 = 0x8;
constexpr uint32_t kChecksumV3 = 0x10;
constexpr uint32_t kFastCommit = 0x20;
constexpr uint32_t kReadable =
    kRevoke | k64Bit | kAsyncCommit | kChecksumV2 | kChecksumV3;

constexpr uint8_t kCrc32 = 1;
constexpr uint8_t kCrc32c = 4;
constexpr uint32_t kCrcStart = ~uint32_t{0};

// Of a commit block.
constexpr size_t kCommitTypeAt = 12;
constexpr size_t kCommitSizeAt = 13;
constexpr size_t kCommitChecksumAt = 16;

// Of a tag.
constexpr size_t kUuidBytes = 16;
constexpr size_t kTagChecksumAt = 4;  // but v3
constexpr size_t kTagFlagsAt = 6;     // the low half in v3
constexpr size_t kTagHighAt = 8;      // of the block's number
constexpr size_t kTagV3ChecksumAt = 12;
constexpr uint16_t kTagEscape = 0x1;
constexpr uint16_t kTagSameUuid = 0x2;
constexpr uint16_t kTagLast = 0x8;

uint32_t crc32c(uint32_t so_far, std::span<const std::byte> bytes) {
  return ext2fs_crc32c_le(so_far,
                          reinterpret_cast<const unsigned char*>(bytes.data()),
                          bytes.size());
}

// Of `bytes` as if the four at `offset` were zeros.
uint32_t crc32c_without(uint32_t so_far, std::span<const std::byte> bytes,
                        size_t offset) {
  constexpr std::array<std::byte, sizeof(uint32_t)> kZeros{};
  so_far = crc32c(so_far, bytes.first(offset));
  so_far = crc32c(so_far, kZeros);
  return crc32c(so_far, bytes.subspan(offset + kZeros.size()));
}

struct Features {
  uint32_t compat = 0;
  uint32_t incompat = 0;
  uint32_t read_only = 0;
};

Status check_features(const Features& features) {
  if ((features.incompat & kFastCommit) != 0)
    return fail(ENOTSUP, "the journal has fast commits");
  if ((features.incompat & ~kReadable) != 0 || features.read_only != 0)
    return fail(
        ENOTSUP,
        fmt::format("the journal has unknown features {:#x}/{:#x}",
                    features.incompat & ~kReadable, features.read_only));
  const int kinds = ((features.compat & kCompatChecksum) != 0 ? 1 : 0) +
                    ((features.incompat & kChecksumV2) != 0 ? 1 : 0) +
                    ((features.incompat & kChecksumV3) != 0 ? 1 : 0);
  if (kinds > 1)
    return fail(ENOTSUP, "the journal has two kinds of checksums");
  if (kinds == 0 && (features.incompat & kAsyncCommit) != 0)
    return fail(ENOTSUP,
                "the journal has asynchronous commits without checksums");
  return {};
}

JournalChecksums checksums_of(const Features& features) {
  if ((features.incompat & kChecksumV3) != 0)
    return JournalChecksums::kTag;
  if ((features.incompat & kChecksumV2) != 0)
    return JournalChecksums::kTagLow;
  if ((features.compat & kCompatChecksum) != 0)
    return JournalChecksums::kTransaction;
  return JournalChecksums::kNone;
}

// The features of a version 2 superblock, where version 1 has nothing.
Result<JournalFormat> read_format(std::span<const std::byte> block) {
  const Features features{load_be32(block, kCompatAt),
                          load_be32(block, kIncompatAt),
                          load_be32(block, kReadOnlyCompatAt)};
  OVL_TRY(check_features(features));
  if (load_be32(block, kUsersAt) > 1)
    return fail(ENOTSUP, "the journal has several users");
  JournalFormat format;
  format.checksums = checksums_of(features);
  format.is_64bit = (features.incompat & k64Bit) != 0;
  format.is_async = (features.incompat & kAsyncCommit) != 0;
  format.seed = crc32c(kCrcStart, block.subspan(kUuidAt, kUuidBytes));
  if (!format.has_block_checksums())
    return format;
  if (load_le<uint8_t>(block, kChecksumTypeAt) != kCrc32c)
    return fail(ENOTSUP, "the journal has an unknown kind of checksums");
  if (crc32c_without(kCrcStart, block.first(kSuperblockBytes),
                     kSuperChecksumAt) != load_be32(block, kSuperChecksumAt))
    return fail(EUCLEAN, "the checksum of the journal's superblock is wrong");
  return format;
}

Status check_bounds(const JournalSuperblock& super, uint64_t blocks) {
  if (super.end > blocks)
    return fail(EUCLEAN, fmt::format("the journal says that it has {} blocks, "
                                     "and its file has {}",
                                     super.end, blocks));
  if (super.first == 0 || super.first >= super.end)
    return fail(EUCLEAN, "the journal's log begins outside of it");
  if (super.start != 0 &&
      (super.start < super.first || super.start >= super.end))
    return fail(EUCLEAN, "the tail of the journal's log is outside of it");
  return {};
}

Status check_kind(std::span<const std::byte> block) {
  const auto header = journal_header(block);
  if (!header)
    return fail(EUCLEAN, "the journal has no valid superblock");
  switch (header->type) {
    case JournalBlockType::kSuperblockV1:
    case JournalBlockType::kSuperblockV2:
      break;
    case JournalBlockType::kDescriptor:
    case JournalBlockType::kCommit:
    case JournalBlockType::kRevoke:
      return fail(EUCLEAN, "the journal has no valid superblock");
    default:
      return fail(ENOTSUP, "the journal is of an unknown version");
  }
  if (load_be32(block, kBlockSizeAt) != kBlockSize)
    return fail(ENOTSUP, fmt::format("the journal has blocks of {} bytes",
                                     load_be32(block, kBlockSizeAt)));
  return {};
}

}  // namespace

std::optional<JournalHeader> journal_header(std::span<const std::byte> block) {
  if (load_be32(block, 0) != kJournalMagic)
    return {};
  return JournalHeader{JournalBlockType{load_be32(block, 4)},
                       load_be32(block, 8)};
}

size_t JournalFormat::tag_bytes() const {
  switch (checksums) {
    case JournalChecksums::kTag:
      return 16;
    case JournalChecksums::kTagLow:
      // Two bytes that nobody uses: the field was made wider once, and the
      // 16 bits for the checksum were found elsewhere.
      return is_64bit ? 14 : 10;
    default:
      return is_64bit ? 12 : 8;
  }
}

Result<JournalSuperblock> read_journal_superblock(
    std::span<const std::byte> block, uint64_t blocks) {
  OVL_TRY(check_kind(block));
  JournalSuperblock super;
  if (journal_header(block)->type == JournalBlockType::kSuperblockV2) {
    super.format = OVL_TRY(read_format(block));
    std::ranges::copy(block.subspan(kUuidAt, kUuidBytes), super.uuid.begin());
  }
  super.first = load_be32(block, kFirstAt);
  super.end = load_be32(block, kBlocksAt);
  super.sequence = load_be32(block, kSequenceAt);
  super.start = load_be32(block, kStartAt);
  super.error = static_cast<int32_t>(load_be32(block, kErrorAt));
  OVL_TRY(check_bounds(super, blocks));
  return super;
}

std::optional<JournalTag> journal_tag(const JournalFormat& format,
                                      std::span<const std::byte> block,
                                      size_t offset) {
  if (offset + format.tag_bytes() > format.area_end())
    return {};
  const auto bytes = block.subspan(offset, format.tag_bytes());
  const uint16_t flags = load_be16(bytes, kTagFlagsAt);
  JournalTag tag;
  tag.block = load_be32(bytes, 0);
  if (format.is_64bit)
    tag.block |= uint64_t{load_be32(bytes, kTagHighAt)} << 32;
  tag.checksum = format.checksums == JournalChecksums::kTag
                     ? load_be32(bytes, kTagV3ChecksumAt)
                     : load_be16(bytes, kTagChecksumAt);
  tag.is_escaped = (flags & kTagEscape) != 0;
  tag.is_last = (flags & kTagLast) != 0;
  tag.bytes = bytes.size() + ((flags & kTagSameUuid) != 0 ? 0 : kUuidBytes);
  return tag;
}

bool is_block_sound(const JournalFormat& format,
                    std::span<const std::byte> block) {
  const size_t at = kBlockSize - sizeof(uint32_t);
  return crc32c_without(format.seed, block, at) == load_be32(block, at);
}

bool is_commit_sound(const JournalFormat& format,
                     std::span<const std::byte> block) {
  return crc32c_without(format.seed, block, kCommitChecksumAt) ==
         load_be32(block, kCommitChecksumAt);
}

bool is_copy_sound(const JournalFormat& format, const JournalTag& tag,
                   uint32_t transaction, std::span<const std::byte> copy) {
  std::array<std::byte, sizeof(uint32_t)> id;
  store_be32(id, 0, transaction);
  const uint32_t found = crc32c(crc32c(format.seed, id), copy);
  return format.checksums == JournalChecksums::kTag
             ? found == tag.checksum
             : (found & 0xffff) == tag.checksum;
}

uint32_t transaction_checksum(uint32_t so_far,
                              std::span<const std::byte> block) {
  return ext2fs_crc32_be(so_far,
                         reinterpret_cast<const unsigned char*>(block.data()),
                         block.size());
}

CommitChecksum check_transaction(std::span<const std::byte> commit,
                                 uint32_t checksum) {
  const auto type = load_le<uint8_t>(commit, kCommitTypeAt);
  const auto bytes = load_le<uint8_t>(commit, kCommitSizeAt);
  const uint32_t stated = load_be32(commit, kCommitChecksumAt);
  if (type == 0 && bytes == 0 && stated == 0)
    return CommitChecksum::kNone;
  return type == kCrc32 && bytes == sizeof checksum && stated == checksum
             ? CommitChecksum::kFits
             : CommitChecksum::kDiffers;
}

}  // namespace ovl
