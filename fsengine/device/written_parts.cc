// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/written_parts.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "images/decode/mapping.h"

namespace ovl {
namespace {

class WrittenParts {
 public:
  WrittenParts(uint64_t size, const Decoder& decoder, const DiskView& view)
      : size_(size), decoder_(decoder), view_(view) {}

  Status add(const MapRun& run);
  std::vector<FilePart> take() { return std::move(parts_); }

 private:
  std::vector<FilePart> written(const FilePart& part) const;
  Status add_tail(const FilePart& tail);

  const uint64_t size_;
  const Decoder& decoder_;
  const DiskView& view_;
  std::vector<FilePart> parts_;
};

Status WrittenParts::add(const MapRun& run) {
  const uint64_t whole = size_ / kBlockSize;
  const uint64_t count =
      whole > run.file_block
          ? std::min<uint64_t>(run.count, whole - run.file_block)
          : 0;
  std::ranges::move(written({{run.block(), count}, run.file_block}),
                    std::back_inserter(parts_));
  if (count < run.count && run.file_block + count == whole)
    for (const FilePart& tail :
         written({{BlockNo{run.device + count}, 1}, whole}))
      OVL_TRY(add_tail(tail));
  return {};
}

// What of a part log or store have as it is committed.
std::vector<FilePart> WrittenParts::written(const FilePart& part) const {
  using Where = DiskView::Where;
  std::vector<FilePart> parts;
  const uint64_t begin = to_int(part.blocks.first);
  for (uint64_t at = begin; at < part.blocks.end();) {
    const DiskView::Piece piece =
        view_.piece_at(BlockNo{at}, part.blocks.end() - at);
    const uint64_t in_place =
        decoder_.blocks_in_place(BlockNo{at}, piece.count);
    const bool is_written =
        piece.where == Where::kLog || piece.where == Where::kStore;
    if (is_written && in_place > 0)
      parts.push_back(
          {{BlockNo{at}, in_place}, part.file_block + (at - begin)});
    at += std::max<uint64_t>(in_place, 1);
  }
  return parts;
}

// A file has zeros behind its end.
Status WrittenParts::add_tail(const FilePart& tail) {
  std::array<std::byte, kBlockSize> bytes;
  OVL_TRY(view_.read(to_int(tail.blocks.first) * kBlockSize, bytes));
  const auto end = bytes.begin() + static_cast<ptrdiff_t>(size_ % kBlockSize);
  if (std::all_of(end, bytes.end(),
                  [](std::byte byte) { return byte == std::byte{0}; }))
    parts_.push_back(tail);
  return {};
}

}  // namespace

Result<std::vector<FilePart>> written_parts(const ObjectChange& change,
                                            const Decoder& decoder,
                                            const DiskView& view) {
  const Mapping mapping = OVL_TRY(decoder.catalog().mapping(change.id.ino));
  WrittenParts parts(change.content->size, decoder, view);
  for (const FileRange& changed : change.content->changed)
    if (!changed.is_hole)
      for (const MapRun& run :
           data_in(mapping, changed.first, changed.first + changed.count))
        OVL_TRY(parts.add(run));
  return parts.take();
}

}  // namespace ovl
