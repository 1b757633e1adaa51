// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "fsengine/overlay/file_reader.h"
#include "images/image.h"

namespace ovl {

/// Has the host fetch the files that a client is going to read, while one of
/// them is waited for. It knows of the request's own range, and of a little
/// more when waits follow one another on the device. Costs nothing while the
/// host has all in its cache. Safe for concurrent use; image and reader outlive
/// it.
class ReadAhead {
 public:
  /// What a client asked for.
  struct Request {
    uint64_t offset = 0;
    uint64_t end = 0;
  };

  ReadAhead(const Image& image, FileReader& files)
      : image_(image), files_(files) {}

  /// To be called before the host is waited for in a request, for something
  /// that ends at `next`: asks for what comes from there on, unless it did.
  void before_wait(const Request& request, uint64_t next);

 private:
  /// A range of the device that was asked for. Requests that begin in it, or
  /// at its end, behind the one that it began with, are a stream.
  struct Stream {
    uint64_t start = UINT64_MAX;
    uint64_t end = 0;
    bool goes_on = false;
  };

  static constexpr size_t kStreams = 8;

  Stream& stream_of(const Request& request, uint64_t next);
  Request take(const Request& request, uint64_t next);

  const Image& image_;
  FileReader& files_;
  std::mutex mutex_;
  std::array<Stream, kStreams> streams_;
  size_t oldest_ = 0;
};

}  // namespace ovl
