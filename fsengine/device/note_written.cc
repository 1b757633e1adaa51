// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/note_written.h"

#include <cstdint>
#include <span>

namespace ovl {
namespace {

bool is_written(const DiskView::Piece& piece, BeginsAt begin) {
  const bool is_as_known =
      piece.where == DiskView::Where::kProvided && begin == BeginsAt::kMark;
  return piece.where != DiskView::Where::kBase && !is_as_known;
}

void note_base(const DiskView& view, const BlockRange& range,
               Decoder& decoder) {
  for (uint64_t block = to_int(range.first); block < range.end();) {
    const DiskView::Piece piece =
        view.piece_at(BlockNo{block}, range.end() - block);
    if (piece.where == DiskView::Where::kBase)
      decoder.note_written(BlockNo{block}, piece.count);
    block += piece.count;
  }
}

// Zeros, folded where the base has zeros, are the base's again.
void note_taken_back(const DiskView& view, Decoder& decoder) {
  const Catalog& catalog = decoder.catalog();
  const Image& image = catalog.base().image();
  catalog.for_each_inode([&](Ino ino, const CatalogInode& inode, bool,
                             std::span<const MapRun> runs) {
    note_base(view, {image.inode_block(ino), 1}, decoder);
    for (const MapRun& run : runs)
      note_base(view, {run.block(), run.count}, decoder);
    if (inode.xattr_block != 0)
      note_base(view, {BlockNo{inode.xattr_block}, 1}, decoder);
  });
}

}  // namespace

void note_all_written(const DiskView& view, Decoder& decoder, BeginsAt begin) {
  const uint64_t end = view.size() / kBlockSize;
  for (uint64_t block = 0; block < end;) {
    const DiskView::Piece piece = view.piece_at(BlockNo{block}, end - block);
    if (is_written(piece, begin))
      decoder.note_written(BlockNo{block}, piece.count);
    block += piece.count;
  }
  note_taken_back(view, decoder);
}

}  // namespace ovl
