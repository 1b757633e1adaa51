// SPDX-License-Identifier: BSD-3-Clause
//
// A hash table from block to place in the log, 8 bytes an entry, without
// removal: a generation is dropped as a whole. It is cut into shards by
// regions of 2 MiB, so that a run of blocks lies in one shard and a reader
// waits for a writer in the same region at most. Tables grow by a quarter when
// four fifths full: between 10 and 12.5 bytes an entry, one shard at a time in
// two copies.
//
//   region bits    no bit: nothing in these 512 blocks, no look-up
//   hash tables    block -> place, or zeros
//   zero extents   ranges of 64 blocks and more -> place where they were
//                  zeroed; a table's entry counts when its place is not lower
//                  and it is not of a placed block: that is always older
//
// A radix tree would be denser for runs, but costs up to a page for a lone
// block, and random 4 KiB writes are what databases do.
#include "fsengine/store/dirty_index.h"

#include <algorithm>

namespace ovl {
namespace {

constexpr uint64_t kRegionBlocks = 512;
constexpr uint64_t kWordBits = 64;
// Shorter runs of zeros are entries of the tables: a range costs more memory.
constexpr uint64_t kLargeZeros = 64;
constexpr size_t kFirstEntries = 16;

uint64_t hash_of(uint64_t value) {
  value *= 0x9e3779b97f4a7c15U;
  return value ^ (value >> 29);
}

// A number below `size`, without a division.
size_t scale(uint64_t hash, size_t size) {
  return static_cast<size_t>((hash >> 32) * size >> 32);
}

uint64_t region_of(uint64_t block) {
  return block / kRegionBlocks;
}

uint64_t region_end(uint64_t block) {
  return (region_of(block) + 1) * kRegionBlocks;
}

}  // namespace

DirtyIndex::DirtyIndex(uint64_t blocks)
    : touched_(region_of(blocks) / kWordBits + 1) {}

DirtyIndex::Shard& DirtyIndex::shard_of(uint64_t block) {
  return shards_[scale(hash_of(region_of(block)), kShards)];
}
const DirtyIndex::Shard& DirtyIndex::shard_of(uint64_t block) const {
  return shards_[scale(hash_of(region_of(block)), kShards)];
}

bool DirtyIndex::is_touched(uint64_t region) const {
  return touched_[region / kWordBits].load(std::memory_order_acquire) >>
             (region % kWordBits) &
         1;
}

void DirtyIndex::touch(uint64_t region) {
  if (!is_touched(region))
    touched_[region / kWordBits].fetch_or(uint64_t{1} << (region % kWordBits),
                                          std::memory_order_release);
}

// The entry of `block`, or the free one where it belongs.
DirtyIndex::Entry* DirtyIndex::slot_for(std::vector<Entry>& table,
                                        uint32_t block) {
  size_t at = scale(hash_of(block), table.size());
  while (table[at].place != kFree && table[at].block != block)
    at = at + 1 == table.size() ? 0 : at + 1;
  return &table[at];
}

uint32_t DirtyIndex::look_up(const std::vector<Entry>& table, uint64_t block) {
  if (table.empty())
    return kFree;
  size_t at = scale(hash_of(block), table.size());
  while (table[at].place != kFree && table[at].block != block)
    at = at + 1 == table.size() ? 0 : at + 1;
  return table[at].place;
}

void DirtyIndex::grow(Shard& shard) {
  const size_t size = shard.table.size();
  std::vector<Entry> larger(std::max(kFirstEntries, size + size / 4),
                            Entry{0, kFree});
  for (const Entry& entry : shard.table)
    if (entry.place != kFree)
      *slot_for(larger, entry.block) = entry;
  shard.table = std::move(larger);
}

void DirtyIndex::put(Shard& shard, Entry entry) {
  constexpr size_t kFive = 5;
  if (kFive * (shard.used + 1) > 4 * shard.table.size())
    grow(shard);
  Entry* slot = slot_for(shard.table, entry.block);
  shard.used += slot->place == kFree ? 1 : 0;
  *slot = entry;
}

void DirtyIndex::insert(uint64_t first, uint64_t count, uint32_t place,
                        uint32_t step) {
  const uint64_t end = first + count;
  for (uint64_t block = first; block < end;) {
    const uint64_t stop = std::min(end, region_end(block));
    Shard& shard = shard_of(block);
    const uint64_t region = region_of(block);
    const WriterLock lock(shard.mutex);
    const uint32_t before = shard.used;
    for (; block < stop; ++block, place += step)
      put(shard, {static_cast<uint32_t>(block), place});
    entries_.fetch_add(shard.used - before, std::memory_order_relaxed);
    touch(region);
  }
}

void DirtyIndex::insert_data(BlockNo first, uint32_t count, LogPlace place) {
  insert(to_int(first), count, to_int(place), 1);
}

void DirtyIndex::insert_home(BlockNo first, uint32_t count) {
  insert(to_int(first), count, kHomeBit, 0);
}

void DirtyIndex::insert_zeros(BlockNo first, uint64_t count, LogPlace place) {
  if (count >= kLargeZeros)
    zeros_.insert(first, count, place);
  else
    insert(to_int(first), count, to_int(place) | kZeroBit, 0);
}

uint64_t DirtyIndex::untouched_run(uint64_t first, uint64_t max) const {
  const uint64_t end = first + max;
  uint64_t at = first;
  while (at < end && !is_touched(region_of(at)))
    at = region_end(at);
  return std::min(at, end) - first;
}

DirtyIndex::Run DirtyIndex::find(BlockNo first, uint64_t max) const {
  const ZeroExtents::Piece piece = zeros_.piece_at(first, max);
  const uint64_t untouched = untouched_run(to_int(first), piece.count);
  if (untouched > 0)
    return {piece.time ? Kind::kZeros : Kind::kNone, untouched, {}};
  const uint64_t in_region = region_end(to_int(first)) - to_int(first);
  return find_in_piece(to_int(first), std::min(piece.count, in_region), piece);
}

// What an entry says where the range was last zeroed at `zeroed`, if ever. A
// placed record takes no room for bytes, so its place may be that of the zeros
// behind it; but it is the first of its blocks, so zeros are always later.
DirtyIndex::Run DirtyIndex::state_of(uint32_t found,
                                     const std::optional<LogPlace>& zeroed) {
  if (found == kFree && !zeroed)
    return {Kind::kNone, 1, {}};
  const bool is_home = found != kFree && (found & kHomeBit) != 0;
  const bool is_older =
      zeroed && (is_home || (found & ~kBits) < to_int(*zeroed));
  if (found == kFree || is_older || (found & kZeroBit) != 0)
    return {Kind::kZeros, 1, {}};
  if (is_home)
    return {Kind::kHome, 1, {}};
  return {Kind::kData, 1, LogPlace{found}};
}

// All of the range is in one region, and has one state of zeroing.
DirtyIndex::Run DirtyIndex::find_in_piece(
    uint64_t first, uint64_t max, const ZeroExtents::Piece& piece) const {
  const Shard& shard = shard_of(first);
  const ReaderLock lock(shard.mutex);
  Run run = state_of(look_up(shard.table, first), piece.time);
  for (; run.count < max; ++run.count) {
    const Run next =
        state_of(look_up(shard.table, first + run.count), piece.time);
    const bool follows = next.kind != Kind::kData ||
                         to_int(next.place) == to_int(run.place) + run.count;
    if (next.kind != run.kind || !follows)
      break;
  }
  return run;
}

std::vector<DirtyIndex::Item> DirtyIndex::items_of(uint32_t index) const {
  const Shard& shard = shards_[index];
  std::vector<Item> result;
  const ReaderLock lock(shard.mutex);
  for (const Entry& entry : shard.table) {
    if (entry.place == kFree)
      continue;
    const auto zeroed = zeros_.piece_at(BlockNo{entry.block}, 1).time;
    const Run run = state_of(entry.place, zeroed);
    if (!zeroed || run.kind != Kind::kZeros)
      result.push_back({BlockNo{entry.block}, run.kind, run.place});
  }
  std::ranges::sort(result, {}, &Item::block);
  return result;
}

uint64_t DirtyIndex::memory_bytes() const {
  uint64_t bytes = touched_.size() * sizeof(touched_[0]);
  for (const Shard& shard : shards_) {
    const ReaderLock lock(shard.mutex);
    bytes += shard.table.capacity() * sizeof(Entry);
  }
  return bytes;
}

}  // namespace ovl
