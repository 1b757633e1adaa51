// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/disk_view.h"

#include <algorithm>
#include <cerrno>

namespace ovl {

DiskView::Piece DiskView::piece_at(BlockNo first, uint64_t max) const {
  for (const auto& generation : generations_) {
    if (!generation)
      continue;
    const DirtyIndex::Run run = generation->index().find(first, max);
    if (run.kind == DirtyIndex::Kind::kData)
      return {Where::kLog, run.count, generation.get(), run.place};
    if (run.kind == DirtyIndex::Kind::kZeros)
      return {Where::kZeros, run.count, nullptr, {}};
    if (run.kind == DirtyIndex::Kind::kHome)
      return {Where::kStore, run.count, nullptr, {}};
    max = run.count;
  }
  const StoreMap& here = below_.store.map();
  const bool is_here = here.test(first);
  max = here.run_length(first, max);
  if (is_here)
    return {Where::kStore, max, nullptr, {}};
  const StoreMap& provided = below_.store.provided();
  const auto where = provided.test(first) ? Where::kProvided : Where::kBase;
  return {where, provided.run_length(first, max), nullptr, {}};
}

bool DiskView::is_written(BlockNo first, uint64_t count) const {
  for (uint64_t done = 0; done < count;) {
    const Piece piece = piece_at(BlockNo{to_int(first) + done}, count - done);
    if (piece.where != Where::kBase)
      return true;
    done += piece.count;
  }
  return false;
}

Status DiskView::read_piece(const Piece& piece, uint64_t offset,
                            std::span<std::byte> out) const {
  switch (piece.where) {
    case Where::kLog:
      return piece.generation->read(piece.place, offset % kBlockSize, out);
    case Where::kZeros:
      std::ranges::fill(out, std::byte{0});
      return {};
    case Where::kStore:
      return below_.store.read(offset, out);
    case Where::kProvided:
      return below_.provider == nullptr
                 ? fail(EIO, "nothing provides what upper is to provide")
                 : below_.provider->read(offset, out);
    case Where::kBase:
      return below_.base.read(offset, out);
  }
  return {};
}

Status DiskView::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const uint64_t into = offset % kBlockSize;
    const Piece piece =
        piece_at(BlockNo{offset / kBlockSize}, blocks_for(into + out.size()));
    const uint64_t n =
        std::min<uint64_t>(out.size(), piece.count * kBlockSize - into);
    OVL_TRY(read_piece(piece, offset, out.first(n)));
    out = out.subspan(n);
    offset += n;
  }
  return {};
}

}  // namespace ovl
