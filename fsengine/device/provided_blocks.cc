// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/provided_blocks.h"

#include <algorithm>

namespace ovl {

Status ProvidedBlocks::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const uint64_t into = offset % kBlockSize;
    const Piece piece =
        piece_at(offset / kBlockSize, blocks_for(into + out.size()));
    const auto now = out.first(
        std::min<uint64_t>(out.size(), piece.count * kBlockSize - into));
    if (piece.file == kNoNode)
      std::ranges::fill(now, std::byte{0});
    else
      OVL_TRY(
          files_.read(piece.file, piece.file_block * kBlockSize + into, now));
    out = out.subspan(now.size());
    offset += now.size();
  }
  return {};
}

ProvidedBlocks::Piece ProvidedBlocks::piece_at(uint64_t first,
                                               uint64_t most) const {
  const ReaderLock lock(mutex_);
  auto next = runs_.upper_bound(first);
  if (next != runs_.begin()) {
    const auto& [begin, run] = *std::prev(next);
    if (first < begin + run.count)
      return {run.file, run.file_block + (first - begin),
              std::min(most, begin + run.count - first)};
  }
  if (next != runs_.end())
    most = std::min(most, next->first - first);
  return {kNoNode, 0, most};
}

void ProvidedBlocks::set(const BlockRange& blocks, UpperFiles::Key file,
                         uint64_t file_block) {
  const WriterLock lock(mutex_);
  clear(blocks);
  if (file != kNoNode)
    add(to_int(blocks.first), {blocks.count, file, file_block});
}

std::vector<BlockRange> ProvidedBlocks::blocks_of(UpperFiles::Key file) const {
  const ReaderLock lock(mutex_);
  std::vector<BlockRange> blocks;
  for (auto at = by_file_.lower_bound({file, 0});
       at != by_file_.end() && at->first == file; ++at)
    blocks.push_back({BlockNo{at->second}, runs_.at(at->second).count});
  return blocks;
}

// What stands out of the range on either side stays.
void ProvidedBlocks::clear(const BlockRange& blocks) {
  const uint64_t first = to_int(blocks.first);
  auto at = runs_.upper_bound(first);
  if (at != runs_.begin() &&
      first < std::prev(at)->first + std::prev(at)->second.count)
    --at;
  while (at != runs_.end() && at->first < blocks.end()) {
    const auto [begin, run] = *at;
    const auto next = std::next(at);
    erase(at);
    if (begin < first)
      add(begin, {first - begin, run.file, run.file_block});
    if (begin + run.count > blocks.end())
      add(blocks.end(), {begin + run.count - blocks.end(), run.file,
                         run.file_block + (blocks.end() - begin)});
    at = next;
  }
}

// Joined with the run before, when it goes on there: a file that grows is one.
void ProvidedBlocks::add(uint64_t first, const Run& run) {
  const auto next = runs_.lower_bound(first);
  if (next != runs_.begin()) {
    auto& [begin, before] = *std::prev(next);
    if (begin + before.count == first && before.file == run.file &&
        before.file_block + before.count == run.file_block) {
      before.count += run.count;
      return;
    }
  }
  runs_.emplace_hint(next, first, run);
  by_file_.insert({run.file, first});
}

void ProvidedBlocks::erase(Runs::iterator at) {
  by_file_.erase({at->second.file, at->first});
  runs_.erase(at);
}

}  // namespace ovl
