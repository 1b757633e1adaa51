// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/journal_scan.h"

#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "images/journal/big_endian.h"

namespace ovl {

namespace {

constexpr size_t kRevokedBytesAt = kJournalHeaderBytes;
constexpr size_t kRevokedAt = 16;

using Block = std::array<std::byte, kBlockSize>;

// What is wrong is kept until a commit block says that the transaction counts:
// before, it may be what the log held earlier.
class TransactionScan {
 public:
  TransactionScan(const JournalSource& journal, const JournalPlace& place)
      : journal_(journal),
        format_(journal.super.format),
        next_(place.position),
        left_(place.blocks) {
    transaction_.id = place.id;
    transaction_.first = place.position;
  }

  Result<FoundTransaction> run() {
    while (left_ > 0 && !has_ended_) {
      OVL_TRY(read_next(block_));
      const auto header = journal_header(block_);
      if (!header || header->transaction != transaction_.id)
        return FoundTransaction();
      if (header->type == JournalBlockType::kCommit)
        return commit();
      OVL_TRY(take(header->type));
    }
    return FoundTransaction();
  }

 private:
  using Kind = FoundTransaction::Kind;

  Status take(JournalBlockType type) {
    if (type == JournalBlockType::kDescriptor)
      return take_descriptor();
    if (type == JournalBlockType::kRevoke)
      take_revoke();
    else
      has_ended_ = true;
    return {};
  }

  Status take_descriptor() {
    check_block("a descriptor");
    if (format_.checksums == JournalChecksums::kTransaction)
      checksum_ = transaction_checksum(checksum_, block_);
    size_t offset = kJournalHeaderBytes;
    while (const auto tag = journal_tag(format_, block_, offset)) {
      OVL_TRY(take_tag(*tag));
      if (tag->is_last || has_ended_)
        return {};
      offset += tag->bytes;
    }
    return {};
  }

  Status take_tag(const JournalTag& tag) {
    if (left_ == 0) {
      has_ended_ = true;
      return {};
    }
    check_number(tag.block);
    transaction_.copies.push_back({BlockNo{tag.block}, next_, tag.is_escaped});
    if (format_.checksums == JournalChecksums::kNone) {
      step();
      return {};
    }
    OVL_TRY(read_next(copy_));
    if (format_.checksums == JournalChecksums::kTransaction)
      checksum_ = transaction_checksum(checksum_, copy_);
    else if (!is_copy_sound(format_, tag, transaction_.id, copy_))
      note(damage_, "a copy");
    return {};
  }

  void take_revoke() {
    check_block("a revocation");
    const size_t end = load_be32(block_, kRevokedBytesAt);
    if (end > format_.area_end())
      return note(nonsense_,
                  fmt::format("{} bytes are revoked in a block", end));
    for (size_t at = kRevokedAt; at + format_.revoked_bytes() <= end;
         at += format_.revoked_bytes()) {
      const uint64_t block =
          format_.is_64bit ? load_be64(block_, at) : load_be32(block_, at);
      check_number(block);
      transaction_.revoked.push_back(BlockNo{block});
    }
  }

  Result<FoundTransaction> commit() {
    check_commit();
    if (damage_.empty() && !nonsense_.empty())
      return fail(EUCLEAN, fmt::format("transaction {} of the journal: {}",
                                       transaction_.id, nonsense_));
    transaction_.commit = position_;
    transaction_.next = next_;
    return FoundTransaction{damage_.empty() ? Kind::kCommitted : Kind::kDamaged,
                            std::move(damage_), std::move(transaction_)};
  }

  void check_commit() {
    if (format_.has_block_checksums() && !is_commit_sound(format_, block_))
      note(damage_, "a commit");
    if (format_.checksums != JournalChecksums::kTransaction)
      return;
    const CommitChecksum found = check_transaction(block_, checksum_);
    if (found == CommitChecksum::kDiffers ||
        (found == CommitChecksum::kNone && format_.is_async))
      note(damage_, "a transaction");
  }

  void check_block(const char* what) {
    if (format_.has_block_checksums() && !is_block_sound(format_, block_))
      note(damage_, what);
  }

  void check_number(uint64_t block) {
    if (block >= journal_.device.size() / kBlockSize)
      note(nonsense_, fmt::format("block {} is not on the device", block));
    else if (journal_.file.holds(BlockNo{block}))
      note(nonsense_, fmt::format("block {} is the journal's own", block));
  }

  // The first that is wrong.
  static void note(std::string& where, std::string what) {
    if (where.empty())
      where = std::move(what);
  }

  // Past the block at `next_`. REQUIRES: left_ > 0.
  void step() {
    position_ = next_;
    if (++next_ == journal_.super.end)
      next_ = journal_.super.first;
    --left_;
    ++transaction_.blocks;
  }

  Status read_next(Block& out) {
    step();
    return journal_.file.read(journal_.device, position_, out);
  }

  const JournalSource& journal_;
  const JournalFormat& format_;
  JournalTransaction transaction_;
  uint32_t position_ = 0;  // of the block read last
  uint32_t next_;
  uint32_t left_;
  uint32_t checksum_ = kTransactionChecksumStart;
  bool has_ended_ = false;
  std::string damage_;    // a checksum
  std::string nonsense_;  // what no checksum excuses
  Block block_;
  Block copy_;
};

}  // namespace

Result<FoundTransaction> find_transaction(const JournalSource& journal,
                                          const JournalPlace& place) {
  return TransactionScan(journal, place).run();
}

}  // namespace ovl
