// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/base_source.h"

#include <algorithm>
#include <cerrno>
#include <functional>

namespace ovl {

Status BaseSource::read(uint64_t offset, std::span<std::byte> out) const {
  const ReadAhead::Request request{offset, offset + out.size()};
  while (!out.empty()) {
    const Segment segment = image_.resolve(offset, out.size());
    OVL_TRY(read_segment(segment, offset, out.first(segment.length), request));
    out = out.subspan(segment.length);
    offset += segment.length;
  }
  return {};
}

uint64_t BaseSource::zeros_at(uint64_t offset, uint64_t length) const {
  const Segment segment = image_.resolve(offset, length);
  return segment.kind == Segment::Kind::kZero ? segment.length : 0;
}

Status BaseSource::read_segment(const Segment& segment, uint64_t offset,
                                std::span<std::byte> out,
                                const ReadAhead::Request& request) const {
  const auto ask_for_more = [&] {
    ahead_.before_wait(request, offset + out.size());
  };
  switch (segment.kind) {
    case Segment::Kind::kZero:
      std::ranges::fill(out, std::byte{0});
      return {};
    case Segment::Kind::kMetadata:
      image_.read_metadata(offset, out);
      return {};
    case Segment::Kind::kFile:
      return read_file(segment, out, std::cref(ask_for_more));
  }
  return {};
}

Status BaseSource::read_file(const Segment& segment, std::span<std::byte> out,
                             const BeforeWait& before_wait) const {
  auto done = files_.read(segment.node, segment.file_offset, out, before_wait);
  if (done || done.error().code() != ESTALE || !read_changed_)
    return done;
  auto changed = read_changed_(segment.node, segment.file_offset, out);
  return changed || changed.error().code() != ESTALE ? changed : done;
}

}  // namespace ovl
