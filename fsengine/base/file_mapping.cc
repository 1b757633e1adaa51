// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/file_mapping.h"

#include <sys/mman.h>

#include <utility>

namespace ovl {

Result<FileMapping> FileMapping::create(int fd, size_t size) {
  void* const at =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED)
    return last_error("mmap");
  return FileMapping(fd, {static_cast<std::byte*>(at), size});
}

FileMapping::FileMapping(FileMapping&& other) noexcept
    : fd_(other.fd_), bytes_(std::exchange(other.bytes_, {})) {}

FileMapping& FileMapping::operator=(FileMapping&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

FileMapping::~FileMapping() {
  if (!bytes_.empty())
    ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace ovl
