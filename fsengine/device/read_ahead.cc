// SPDX-License-Identifier: BSD-3-Clause
//
// The host reads ahead within a file, and no further: a stream over small files
// would wait for each of them. The files that come next on the device are known
// here, so they are asked for, and nothing waits for that: there is no queue
// and no thread. A file is asked for by its content only, and closed again: its
// own read finds the content in the host's cache.
//
// Only waits are looked at: a read that must not wait tells of them
// (host_file.cc). So a request that finds all in the cache comes nowhere near
// this, not even its lock. A stream is known by them nevertheless: when what
// was asked for is used up, the next wait is at its end.
#include "fsengine/device/read_ahead.h"

#include <algorithm>

namespace ovl {
namespace {

// What is asked for at most ahead of a read: 64 files of one block.
constexpr uint64_t kWindow = uint64_t{64} * kBlockSize;
// How far requests of one stream may be behind another.
constexpr uint64_t kDisorder = 4 * kWindow;

}  // namespace

ReadAhead::Stream& ReadAhead::stream_of(const Request& request, uint64_t next) {
  const auto known = std::ranges::find_if(streams_, [&](const Stream& each) {
    return each.start <= request.offset && request.offset <= each.end;
  });
  if (known != streams_.end())
    return *known;
  Stream& stream = streams_[oldest_];
  oldest_ = (oldest_ + 1) % kStreams;
  stream = {request.offset, next, false};
  return stream;
}

// The range that is to be asked for now.
ReadAhead::Request ReadAhead::take(const Request& request, uint64_t next) {
  const std::lock_guard lock(mutex_);
  Stream& stream = stream_of(request, next);
  stream.goes_on |= request.offset > stream.start;
  const uint64_t likely = stream.goes_on
                              ? std::min(request.end + kWindow, image_.size())
                              : request.end;
  const Request range{std::max(next, stream.end),
                      std::min(likely, next + kWindow)};
  stream.end = std::max(stream.end, range.end);
  if (request.offset > kDisorder)
    stream.start = std::max(stream.start, request.offset - kDisorder);
  return range;
}

void ReadAhead::before_wait(const Request& request, uint64_t next) {
  const Request range = take(request, next);
  for (uint64_t at = range.offset; at < range.end;) {
    const Segment segment = image_.resolve(at, range.end - at);
    if (segment.kind == Segment::Kind::kFile)
      files_.expect(segment.node, segment.file_offset, segment.length);
    at += segment.length;
  }
}

}  // namespace ovl
