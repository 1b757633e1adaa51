// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/block_owners.h"

#include <algorithm>

namespace ovl {

namespace {

// Calls `visit(chunk, first, count, before)` for the parts of a run that lie in
// one chunk each; `before`: how many of its blocks come before the part.
template <typename Visit>
void for_each_part(const MapRun& run, uint32_t chunk_blocks, Visit visit) {
  for (uint32_t done = 0; done < run.count;) {
    const uint64_t at = uint64_t{run.device} + done;
    const auto first = static_cast<uint32_t>(at % chunk_blocks);
    const uint32_t count = std::min(run.count - done, chunk_blocks - first);
    visit(static_cast<uint32_t>(at / chunk_blocks), first, count, done);
    done += count;
  }
}

}  // namespace

void BlockOwners::add(Ino ino, const Mapping& mapping) {
  for (const MapRun& run : mapping)
    for_each_part(
        run, kChunk,
        [&](uint32_t chunk, uint32_t first, uint32_t count, uint32_t before) {
          std::vector<Part>& parts = chunks_[chunk];
          const uint32_t file_block = run.kind == RunKind::kMap
                                          ? kNoFileBlock
                                          : run.file_block + before;
          const Part part{static_cast<uint16_t>(first),
                          static_cast<uint16_t>(count), to_int(ino),
                          file_block};
          parts.insert(
              std::ranges::upper_bound(parts, part.first, {}, &Part::first),
              part);
        });
}

void BlockOwners::remove(Ino ino, const Mapping& mapping) {
  for (const MapRun& run : mapping)
    for_each_part(
        run, kChunk, [&](uint32_t chunk, uint32_t first, uint32_t, uint32_t) {
          const auto at = chunks_.find(chunk);
          if (at == chunks_.end())
            return;
          std::vector<Part>& parts = at->second;
          const auto part = std::ranges::find_if(
              std::ranges::lower_bound(parts, first, {}, &Part::first),
              parts.end(),
              [ino](const Part& each) { return each.ino == to_int(ino); });
          if (part != parts.end() && part->first == first)
            parts.erase(part);
          if (parts.empty())
            chunks_.erase(at);
        });
}

BlockOwners::Answer BlockOwners::find(BlockNo first, uint64_t max) const {
  const auto in_chunk = static_cast<uint32_t>(to_int(first) % kChunk);
  const uint64_t rest = std::min<uint64_t>(max, kChunk - in_chunk);
  const auto chunk =
      chunks_.find(static_cast<uint32_t>(to_int(first) / kChunk));
  if (chunk == chunks_.end())
    return {std::nullopt, rest};
  const std::vector<Part>& parts = chunk->second;
  const auto next = std::ranges::upper_bound(parts, in_chunk, {}, &Part::first);
  if (next != parts.begin()) {
    const Part& part = *std::prev(next);
    const uint32_t into = in_chunk - part.first;
    if (into < part.count) {
      const bool is_map = part.file_block == kNoFileBlock;
      return {Owner{Ino{part.ino}, is_map ? 0 : part.file_block + into, is_map},
              std::min<uint64_t>(rest, part.count - into)};
    }
  }
  if (next == parts.end())
    return {std::nullopt, rest};
  return {std::nullopt, std::min<uint64_t>(rest, next->first - in_chunk)};
}

uint64_t BlockOwners::memory_bytes() const {
  constexpr uint64_t kPerChunk = 64;  // a node, a bucket and what malloc adds
  uint64_t bytes = 0;
  for (const auto& [chunk, parts] : chunks_)
    bytes += kPerChunk + parts.capacity() * sizeof(Part);
  return bytes;
}

}  // namespace ovl
