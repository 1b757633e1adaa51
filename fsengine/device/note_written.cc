// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/note_written.h"

namespace ovl {

void note_all_written(const DiskView& view, Decoder& decoder) {
  const uint64_t end = view.size() / kBlockSize;
  for (uint64_t block = 0; block < end;) {
    const DiskView::Piece piece = view.piece_at(BlockNo{block}, end - block);
    if (piece.where != DiskView::Where::kBase)
      decoder.note_written(BlockNo{block}, piece.count);
    block += piece.count;
  }
}

}  // namespace ovl
