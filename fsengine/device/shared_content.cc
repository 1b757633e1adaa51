// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/shared_content.h"

#include <algorithm>
#include <cerrno>

namespace ovl {
namespace {

// Less is as well copied.
constexpr uint64_t kLeastBytes = 64 << 10;

// It will not be otherwise for the next file.
bool is_for_all(const Error& error) {
  return error.code() == EOPNOTSUPP || error.code() == EXDEV ||
         error.code() == ENOTTY || error.code() == EINVAL ||
         error.code() == ENOSYS;
}

const MapRun* run_at(const Mapping& mapping, uint64_t file_block) {
  const auto runs = runs_from(mapping, file_block);
  const bool has_it = !runs.empty() && runs.front().file_block <= file_block &&
                      runs.front().kind == RunKind::kData;
  return has_it ? &runs.front() : nullptr;
}

}  // namespace

void SharedContent::begin(const Decoder& decoder, const DiskView& view) {
  decoder_ = &decoder;
  view_ = &view;
  ino_ = {};
}

const Mapping* SharedContent::mapping_of(Ino ino) {
  if (ino_ != ino) {
    auto mapping = decoder_->catalog().mapping(ino);
    if (!mapping)
      return nullptr;
    mapping_ = std::move(*mapping);
    ino_ = ino;
  }
  return &mapping_;
}

// What of the range one file of a lower has in a row, from its beginning on.
SharedContent::Part SharedContent::part_at(Ino ino, uint64_t at, uint64_t end) {
  const Mapping* mapping = mapping_of(ino);
  const MapRun* run = mapping ? run_at(*mapping, at / kBlockSize) : nullptr;
  if (run == nullptr)
    return {};
  const uint64_t into = at / kBlockSize - run->file_block;
  const BlockNo block{run->device + into};
  const DiskView::Piece piece = view_->piece_at(
      block, std::min(run->count - into, (end - at) / kBlockSize));
  const uint64_t blocks = decoder_->blocks_in_place(block, piece.count);
  if (piece.where != DiskView::Where::kBase || blocks == 0)
    return {};
  const Segment segment =
      context_.image.resolve(to_int(block) * kBlockSize, blocks * kBlockSize);
  if (segment.kind != Segment::Kind::kFile ||
      segment.file_offset % kBlockSize != 0 ||
      context_.stack.is_upper(context_.stack.pool()[segment.node]))
    return {};
  const uint64_t size = context_.stack.pool()[segment.node].size;
  const uint64_t left =
      size > segment.file_offset ? size - segment.file_offset : 0;
  return {segment.node, segment.file_offset,
          std::min(segment.length, left) / kBlockSize * kBlockSize};
}

uint64_t SharedContent::share(int to, Ino ino, uint64_t at, uint64_t end) {
  if (is_impossible_ || at % kBlockSize != 0 || end - at < kLeastBytes)
    return 0;
  const Part part = part_at(ino, at, end);
  if (part.length < kLeastBytes)
    return 0;
  const auto from = context_.files.hold(part.node);
  if (!from)
    return 0;  // a copy will tell
  const auto shared =
      context_.os.share_range((*from)->get(), part.offset, to, at, part.length);
  if (!shared) {
    is_impossible_ = is_for_all(shared.error());
    return 0;
  }
  return context_.files.hold(part.node) ? part.length : 0;
}

}  // namespace ovl
