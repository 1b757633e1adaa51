// SPDX-License-Identifier: BSD-3-Clause
//
// A file that a guest makes and deletes between two checkpoints is in no upper,
// and its bytes stay in log and store until the guest trims or overwrites them.
// Nobody will read them: the blocks are free. They are taken out as what upper
// provides is (handover.cc), of no file, and read as zeros.
//
// When is a block free for sure? A guest with a journal writes a block before
// it commits that the block is in use:
//
//   look   at P1, the last committed transaction being N1: a block is free by
//          catalog and bitmap, and log or store have bytes for it
//   drop   at P2, N2 being N1 + 2 or later: it was not written since P1, and is
//          free still
//
// What was written before P1 was for a transaction that was running then, at
// most N1 + 2: of a third one there is none before the commit record of the
// first of them is written, and that would be before P1. By P2 it is committed,
// and the block is in use, or has been freed again. A write after P1 is for a
// later one, and keeps the block. What comes while it is dropped is in the log,
// and goes before.
//
// Without a journal, or while a program is at work on an unmounted file system,
// nothing tells; then it waits for the end, when no client is there.
//
// Cost: a look goes through the runs of what log and store have, and is worth
// it when the guest has written a part of that since the last one.
#include "fsengine/device/freed_blocks.h"

#include <algorithm>

#include "images/decode/bitmaps.h"

namespace ovl {
namespace {

constexpr uint64_t kWorthALook = 4;  // a part of what is kept

bool is_kept(const DiskView::Piece& piece) {
  return piece.where == DiskView::Where::kLog ||
         piece.where == DiskView::Where::kStore;
}

void add_block(uint64_t block, std::vector<BlockRange>& ranges) {
  if (!ranges.empty() && ranges.back().end() == block)
    ++ranges.back().count;
  else
    ranges.push_back({BlockNo{block}, 1});
}

// Numbers of transactions go round.
bool is_before(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}

}  // namespace

void FreedBlocks::note_written(
    const std::optional<std::vector<BlockRange>>& ranges) {
  if (!ranges) {
    found_.reset();
    written_ += kLeastWritten + kept_;
    return;
  }
  for (const BlockRange& range : *ranges) {
    written_ += range.count;
    if (found_)
      found_->written.add(range.first, range.count);
  }
}

Status FreedBlocks::give_back(const DiskView& view, const Decoder& decoder) {
  if (decoder.mode() != FsMode::kJournal)
    return {};
  const State state{view, decoder.committed(), decoder.catalog()};
  const auto running = decoder.last_running();
  if (found_ && running && is_before(*running, found_->last_running))
    found_.reset();  // another journal
  if (found_)
    return is_before(decoder.last_transaction(), found_->last_running)
               ? Status()
               : drop(state);
  const bool is_due = written_ >= std::max(kLeastWritten, kept_ / kWorthALook);
  return is_due && running ? look(state, *running) : Status();
}

Status FreedBlocks::look(const State& state, uint32_t last_running) {
  const BlockRange all{BlockNo{0}, state.view.size() / kBlockSize};
  found_ = {last_running, OVL_TRY(freed_in(state, all)), {}};
  written_ = 0;
  kept_ = disk_.store().map().count();
  if (found_->blocks.empty())
    found_.reset();
  return {};
}

Status FreedBlocks::drop(const State& state) {
  const Found found = std::move(*found_);
  found_.reset();
  std::vector<BlockRange> blocks;
  for (const BlockRange& range : found.blocks)
    for (const BlockRange& part : OVL_TRY(freed_in(state, range)))
      for (uint64_t at = to_int(part.first); at < part.end(); ++at)
        if (!found.written.test(BlockNo{at}))
          add_block(at, blocks);
  return provide(state.view, blocks);
}

Status FreedBlocks::give_back_all(const DiskView& view,
                                  const Catalog& catalog) {
  const BlockRange all{BlockNo{0}, view.size() / kBlockSize};
  return provide(view, OVL_TRY(freed_in({view, view, catalog}, all)));
}

// What log or store have in a range, and nobody has in the file system.
Result<std::vector<BlockRange>> FreedBlocks::freed_in(
    const State& state, const BlockRange& range) const {
  Bitmaps bitmaps(image_, state.committed);
  std::vector<BlockRange> freed;
  for (uint64_t at = to_int(range.first); at < range.end();) {
    const DiskView::Piece piece =
        state.view.piece_at(BlockNo{at}, range.end() - at);
    const Catalog::Owner owner =
        state.catalog.owner_of(BlockNo{at}, piece.count);
    const uint64_t end = at + (is_kept(piece) ? owner.count : piece.count);
    for (; at < end && is_kept(piece); ++at)
      if (owner.use == Catalog::Use::kFree && !OVL_TRY(bitmaps.has_block(at)))
        add_block(at, freed);
    at = end;
  }
  return freed;
}

Status FreedBlocks::provide(const DiskView& view,
                            const std::vector<BlockRange>& blocks) {
  for (const BlockRange& range : blocks)
    provided_.set(range, kNoNode, 0);
  return blocks.empty() ? Status() : disk_.provide(view, blocks);
}

}  // namespace ovl
