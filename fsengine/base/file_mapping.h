// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/result.h"

namespace ovl {

/// The first bytes of a file as memory shared with it; move-only. Bytes get
/// there by Os::store. The descriptor outlives it.
class FileMapping {
 public:
  /// REQUIRES: `fd` is open for reading and writing, `size` > 0. ENODEV and
  /// others where the file system has no such thing.
  static Result<FileMapping> create(int fd, size_t size);
  FileMapping(FileMapping&& other) noexcept;
  FileMapping& operator=(FileMapping&& other) noexcept;
  ~FileMapping();

  int fd() const { return fd_; }
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  FileMapping(int fd, std::span<std::byte> bytes) : fd_(fd), bytes_(bytes) {}

  int fd_;
  std::span<std::byte> bytes_;
};

}  // namespace ovl
