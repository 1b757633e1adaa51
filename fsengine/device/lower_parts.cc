// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/lower_parts.h"

#include <algorithm>

namespace ovl {
namespace {

const MapRun* run_at(const Mapping& mapping, uint64_t file_block) {
  const auto runs = runs_from(mapping, file_block);
  const bool has_it = !runs.empty() && runs.front().file_block <= file_block &&
                      runs.front().kind == RunKind::kData;
  return has_it ? &runs.front() : nullptr;
}

}  // namespace

void LowerParts::begin(const Decoder& decoder, const DiskView& view) {
  decoder_ = &decoder;
  view_ = &view;
  ino_ = {};
}

const Mapping* LowerParts::mapping_of(Ino ino) {
  if (ino_ != ino) {
    auto mapping = decoder_->catalog().mapping(ino);
    if (!mapping)
      return nullptr;
    mapping_ = std::move(*mapping);
    ino_ = ino;
  }
  return &mapping_;
}

LowerParts::Part LowerParts::at(Ino ino, uint64_t at, uint64_t end) {
  const Mapping* mapping = mapping_of(ino);
  const MapRun* run = mapping ? run_at(*mapping, at / kBlockSize) : nullptr;
  if (run == nullptr)
    return {.length = kBlockSize};
  const uint64_t into = at / kBlockSize - run->file_block;
  const BlockNo block{run->device + into};
  const DiskView::Piece piece = view_->piece_at(
      block, std::min(run->count - into, (end - at) / kBlockSize));
  if (piece.where != DiskView::Where::kBase)
    return {.length = piece.count * kBlockSize};
  const uint64_t blocks = decoder_->blocks_in_place(block, piece.count);
  return blocks > 0 ? part_of(block, blocks) : Part{.length = kBlockSize};
}

// Of blocks that are as the base image has them.
LowerParts::Part LowerParts::part_of(BlockNo block, uint64_t blocks) const {
  const Segment segment =
      image_.resolve(to_int(block) * kBlockSize, blocks * kBlockSize);
  const uint64_t length = segment.length / kBlockSize * kBlockSize;
  if (segment.kind != Segment::Kind::kFile ||
      segment.file_offset % kBlockSize != 0 ||
      stack_.is_upper(stack_.pool()[segment.node]))
    return {.length = std::max<uint64_t>(length, kBlockSize)};
  const uint64_t size = stack_.pool()[segment.node].size;
  const uint64_t left =
      size > segment.file_offset ? size - segment.file_offset : 0;
  if (left < kBlockSize)
    return {.length = kBlockSize};
  return {segment.node, segment.file_offset,
          std::min(length, left / kBlockSize * kBlockSize)};
}

}  // namespace ovl
