// SPDX-License-Identifier: BSD-3-Clause
//
// An image as a sparse file for other programs to read, with made content.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "images/image.h"

namespace ovl {

/// Eight bytes, the first of them at `offset` / 8 * 8, of the content that
/// tests give to `node`; little-endian.
inline uint64_t made_word(NodeId node, uint64_t offset) {
  return (uint64_t{to_int(node)} << 40 ^ (offset >> 3)) * 0x9e3779b97f4a7c15;
}
inline std::byte made_byte(NodeId node, uint64_t offset) {
  return static_cast<std::byte>(made_word(node, offset) >> (offset % 8 * 8) &
                                0xff);
}
/// Fills `out` with the content from `offset` on.
inline void make_bytes(NodeId node, uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const uint64_t word = made_word(node, offset) >> (offset % 8 * 8);
    const size_t bytes = std::min<size_t>(8 - offset % 8, out.size());
    std::memcpy(out.data(), &word, bytes);
    offset += bytes;
    out = out.subspan(bytes);
  }
}

/// The device's bytes [offset, offset + length), content made.
inline std::vector<std::byte> image_bytes(const NodePool& pool,
                                          const Image& image, uint64_t offset,
                                          uint64_t length) {
  std::vector<std::byte> bytes(length);
  uint64_t done = 0;
  while (done < length) {
    const Segment part = image.resolve(offset + done, length - done);
    const std::span out = std::span(bytes).subspan(done, part.length);
    if (part.kind == Segment::Kind::kMetadata)
      image.read_metadata(offset + done, out);
    const uint64_t size =
        part.kind == Segment::Kind::kFile ? pool[part.node].size : 0;
    if (size > part.file_offset)
      make_bytes(part.node, part.file_offset,
                 out.first(std::min(part.length, size - part.file_offset)));
    done += part.length;
  }
  return bytes;
}

/// A temporary file with the bytes of an image; gone with the object.
class ImageFile {
 public:
  ImageFile(const NodePool& pool, const Image& image) {
    fd_ = Fd(::mkstemp(path_.data()));
    if (::ftruncate(fd_.get(), static_cast<off_t>(image.size())) != 0)
      std::abort();
    uint64_t offset = 0;
    while (offset < image.size()) {
      constexpr uint64_t kPart = 64 << 20;
      const Segment part = image.resolve(offset, image.size() - offset);
      const uint64_t length = std::min(part.length, kPart);
      if (part.kind == Segment::Kind::kZero) {
        offset += part.length;
        continue;
      }
      write(offset, image_bytes(pool, image, offset, length));
      offset += length;
    }
  }
  ~ImageFile() { ::unlink(path_.c_str()); }
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;

  const std::string& path() const { return path_; }

  void write(uint64_t offset, const std::vector<std::byte>& bytes) {
    const auto done = ::pwrite(fd_.get(), bytes.data(), bytes.size(),
                               static_cast<off_t>(offset));
    if (done != static_cast<ssize_t>(bytes.size()))
      std::abort();
  }

 private:
  std::string path_ = "/tmp/ovl-image-XXXXXX";
  Fd fd_;
};

/// What a program prints, both outputs, and its exit status.
struct ProgramResult {
  int status = -1;
  std::string output;
};
inline ProgramResult run_program(const std::string& command) {
  ProgramResult result;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> part;
  size_t bytes = 0;
  while ((bytes = ::fread(part.data(), 1, part.size(), pipe)) > 0)
    result.output.append(part.data(), bytes);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

}  // namespace ovl
