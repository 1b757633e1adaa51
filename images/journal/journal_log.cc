// SPDX-License-Identifier: BSD-3-Clause
//
// The log of a jbd2 journal is a ring of blocks behind the superblock:
//
//      first          tail (s_start)                          end (s_maxlen)
//        |              |                                       |
//     ...T+2 stale......[ D c c c R D c C | D c C | D c c       stale ... wraps
//                         transaction T     T+1     T+2, torn
//
// D, a descriptor, tells by its tags which blocks the copies c behind it are
// of; R revokes blocks; C commits. Every block but a copy carries a magic
// number and the number of its transaction. What comes behind the last commit
// is whatever the ring held earlier, so the log ends where a block does not
// carry the number that is expected, and a transaction without its commit
// block is none. The superblock is never in the log itself, so it is read at
// each call: the tail moves, and the guest sets features while it runs, which
// change the size of a tag.
//
// Revocation. The blocks of a deleted directory may become a file's, whose
// content goes in place and not through the log; a copy that is older must not
// count then. A record in transaction T voids the copies up to T. A recovery
// that writes copies in place as it reads them has to know all records first,
// and makes two passes. Here copies only enter a map, transaction by
// transaction, so that a record may simply take out what is there: whatever it
// voids has been entered, whatever comes later is not voided. Within T the
// copies are entered first. So nothing is kept of a record, and the map is as
// large as the blocks that do have a copy that counts.
//
// Keeping. The transactions of the log are kept in their order, each with its
// copies. When the tail moves, those before it leave, and take out the copies
// that are still theirs: no older ones can be behind these. That the kept ones
// are still what stands in the log is known by the tail, which must be where
// one of them began, and by the last commit block. Otherwise, and when the
// journal is another one, all of them leave and the log is read from the tail.
// That is no error: a guest that replays its journal, or writes the whole ring
// between two calls, does as much.
//
// Damage. In a log that is written in order, what follows the flush is there
// or is not. But a journal with asynchronous commits may have the commit block
// before its copies, so that a wrong checksum says "not yet", and a stale block
// may fit but for its checksum. So a transaction with a wrong checksum is the
// end of the log, as for the kernel, which would not have mounted, or lost it.
// Only when a sound one with the next number follows, the guest had got it all
// acknowledged, and what does not fit is damage: then nothing is told, because
// the log without it would be a state that never was.
//
// The errno in the superblock, which a guest leaves that aborts its journal,
// stops neither the kernel's recovery nor e2fsck's: both carry out the log,
// then note that the file system has errors. So it is told, not an error here,
// and whoever asks decides.
//
// All counts are bounded by the blocks of the ring; a hostile guest can make
// us read it once for each call, no more.
#include "images/journal/journal_log.h"

#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace ovl {

namespace {

using Block = std::array<std::byte, kBlockSize>;

uint32_t ring_blocks(const JournalSuperblock& super) {
  return super.end - super.first;
}

// The kept transactions are about the same ring.
bool is_same_ring(const JournalSuperblock& a, const JournalSuperblock& b) {
  return a.uuid == b.uuid && a.first == b.first && a.end == b.end;
}

JournalPlace place_behind_of(const JournalTransaction& transaction,
                             const JournalPlace& place) {
  return {place.id + 1, transaction.next, place.blocks - transaction.blocks};
}

// EUCLEAN when a committed transaction follows a damaged one.
Status check_damage(const JournalSource& journal, JournalPlace place,
                    FoundTransaction found) {
  const std::string damage = fmt::format(
      "transaction {} of the journal is damaged: the checksum of "
      "{} is wrong",
      place.id, found.damage);
  while (found.kind == FoundTransaction::Kind::kDamaged) {
    place = place_behind_of(found.transaction, place);
    found = OVL_TRY(find_transaction(journal, place));
  }
  if (found.kind == FoundTransaction::Kind::kCommitted)
    return fail(EUCLEAN, damage);
  return {};
}

}  // namespace

Status JournalLog::advance(const BlockSource& device,
                           std::span<const MappedRun> runs) {
  JournalFile file =
      OVL_TRY(JournalFile::map(runs, device.size() / kBlockSize));
  Block block;
  OVL_TRY(file.read(device, 0, block));
  const JournalSuperblock super =
      OVL_TRY(read_journal_superblock(block, file.blocks()));
  News news = OVL_TRY(look({device, file, super}));
  take(std::move(news));
  file_ = std::move(file);
  super_ = super;
  return {};
}

Result<JournalLog::News> JournalLog::look(const JournalSource& journal) const {
  News news;
  news.dropped = OVL_TRY(count_dropped(journal));
  news.next = place_behind(news.dropped, journal.super);
  while (true) {
    FoundTransaction found = OVL_TRY(find_transaction(journal, news.next));
    if (found.kind != FoundTransaction::Kind::kCommitted) {
      OVL_TRY(check_damage(journal, news.next, std::move(found)));
      return news;
    }
    news.next = place_behind_of(found.transaction, news.next);
    news.transactions.push_back(std::move(found.transaction));
  }
}

// All of them, when they are not what is in the log.
Result<size_t> JournalLog::count_dropped(const JournalSource& journal) const {
  const JournalSuperblock& super = journal.super;
  if (kept_.empty() || !is_same_ring(super, super_) || !(journal.file == file_))
    return kept_.size();
  const uint32_t index = super.sequence - kept_.front().id;
  if (index >= kept_.size() || kept_[index].first != super.start)
    return kept_.size();
  Block block;
  OVL_TRY(journal.file.read(journal.device, kept_.back().commit, block));
  const auto header = journal_header(block);
  if (!header || header->type != JournalBlockType::kCommit ||
      header->transaction != kept_.back().id)
    return kept_.size();
  return index;
}

JournalPlace JournalLog::place_behind(size_t dropped,
                                      const JournalSuperblock& super) const {
  if (dropped == kept_.size())
    return {super.sequence, super.start,
            super.start == 0 ? 0 : ring_blocks(super)};
  JournalPlace place = next_;
  for (size_t i = 0; i < dropped; ++i)
    place.blocks += kept_[i].blocks;
  return place;
}

void JournalLog::take(News news) {
  for (; news.dropped > 0; --news.dropped) {
    copies_.remove(kept_.front().id, kept_.front().copies);
    kept_.pop_front();
  }
  for (JournalTransaction& transaction : news.transactions) {
    copies_.add(transaction);
    kept_.push_back({transaction.id, transaction.first, transaction.commit,
                     transaction.blocks, std::move(transaction.copies)});
  }
  next_ = news.next;
}

std::optional<JournalLog::Copy> JournalLog::find(BlockNo block) const {
  const auto copy = copies_.find(block);
  if (!copy)
    return {};
  return Copy{file_.at(copy->position), copy->is_escaped};
}

std::optional<BlockNo> JournalLog::next_copy(BlockNo from) const {
  return copies_.next(from);
}

}  // namespace ovl
