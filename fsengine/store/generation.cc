// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/generation.h"

#include <cerrno>

#include "fsengine/base/read_at.h"

namespace ovl {

bool Generation::is_full() const {
  const uint64_t places = uint64_t{segments_.size() + 1} * segment_blocks_;
  return segments_.size() >= kMaxSegments || places >= kMaxLogPlace;
}

LogPlace Generation::place_of(const SegmentRef& segment, uint32_t block) {
  if (segments_.empty() || segments_.back() != segment)
    segments_.push_back(segment);
  const auto ordinal = static_cast<uint32_t>(segments_.size() - 1);
  return LogPlace{ordinal * segment_blocks_ + block};
}

void Generation::add(const RecordHead& head, const SegmentRef& segment,
                     uint32_t at) {
  const LogPlace place = place_of(segment, at);
  switch (head.kind) {
    case RecordKind::kZero:
      index_.insert_zeros(head.first, head.count, place);
      break;
    case RecordKind::kPlaced:
      index_.insert_home(head.first, static_cast<uint32_t>(head.count));
      break;
    case RecordKind::kWrite:
      index_.insert_data(head.first, static_cast<uint32_t>(head.count), place);
      break;
  }
  last_ = head.position;
}

Status Generation::read(LogPlace place, uint64_t into,
                        std::span<std::byte> out) const {
  const SegmentRef& segment = segments_[to_int(place) / segment_blocks_];
  const uint64_t block = to_int(place) % segment_blocks_;
  auto status =
      read_at(segment->fd(), block * kBlockSize + into, out).in("read log");
  if (!status && status.error().code() == ESTALE)
    return fail(EIO, status.error().what());
  return status;
}

}  // namespace ovl
