// SPDX-License-Identifier: BSD-3-Clause
//
// A block that is placed in a hole of the store's file costs the host's file
// system most of what it costs at all: it is to remember each by itself until
// it has found space for it. Where that space is taken before, it is not, and
// the earlier the less is to be sorted out. So once a few blocks of a chunk of
// 16 MiB were placed one by one, space is taken for all of it, for the others
// may come; that of those which have not come is given back when the chunk has
// been quiet from one pass to the next, or when the disk is closed. A pass is
// part of each fold and of each seal, so of a checkpoint.
//
// Invariant: space means nothing; which blocks have bytes, map and log tell.
//
// Crash: what has space and no bytes is found at the next start, and given back
// (BlockStore::find_unused).
//
// Cost: memory that does not grow with the device; of disk space, for seconds,
// at most 512 MiB that the guest does not use, and none where less than 4 GiB
// are free.
#include "fsengine/store/space_ahead.h"

#include <algorithm>
#include <utility>

namespace ovl {

SpaceAhead::Slot& SpaceAhead::slot_of(uint64_t chunk) {
  Slot& slot = slots_[chunk % kSlots];
  if (slot.chunk == chunk)
    return slot;
  if (slot.has_space)
    displaced_.push_back(slot.chunk);
  slot = Slot{chunk};
  return slot;
}

BlockRange SpaceAhead::range_of(uint64_t chunk) const {
  const uint64_t first = chunk * rules_.chunk_blocks;
  return {BlockNo{first},
          std::min<uint64_t>(rules_.chunk_blocks, blocks_ - first)};
}

std::optional<BlockRange> SpaceAhead::note_placed(BlockNo first,
                                                  uint64_t count) {
  const uint64_t chunk = to_int(first) / rules_.chunk_blocks;
  Slot& slot = slot_of(chunk);
  slot.is_quiet = false;
  slot.placed += static_cast<uint32_t>(count);
  if (slot.has_space || slot.placed < rules_.enough_blocks ||
      with_space_ >= rules_.most_chunks)
    return std::nullopt;
  slot.has_space = true;
  ++with_space_;
  return range_of(chunk);
}

void SpaceAhead::note_refused(const BlockRange& chunk) {
  const uint64_t number = to_int(chunk.first) / rules_.chunk_blocks;
  Slot& slot = slots_[number % kSlots];
  const bool has_slot = slot.chunk == number && slot.has_space;
  const bool is_known = has_slot || std::erase(displaced_, number) > 0;
  if (has_slot)
    slot = Slot{number};
  with_space_ -= is_known ? 1 : 0;
}

std::vector<BlockRange> SpaceAhead::take_quiet() {
  return take(false);
}

std::vector<BlockRange> SpaceAhead::take_all() {
  return take(true);
}

std::vector<BlockRange> SpaceAhead::take(bool all) {
  std::vector<BlockRange> taken;
  if (with_space_ == 0)
    return taken;
  for (const uint64_t chunk : std::exchange(displaced_, {}))
    taken.push_back(range_of(chunk));
  for (Slot& slot : slots_) {
    if (slot.has_space && (all || slot.is_quiet))
      taken.push_back(range_of(std::exchange(slot, Slot()).chunk));
    slot.is_quiet = true;
    slot.placed = 0;
  }
  with_space_ -= static_cast<uint32_t>(taken.size());
  return taken;
}

}  // namespace ovl
