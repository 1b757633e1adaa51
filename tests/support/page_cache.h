// SPDX-License-Identifier: BSD-3-Clause
//
// The host's cache of a file's first page: to empty it, and to look at it.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fsengine/base/fd.h"

namespace ovl {

/// True when the first page is there. Asking does not bring it.
inline bool is_cached(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* at = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED)
    return false;
  unsigned char present = 0;
  ::mincore(at, page, &present);
  ::munmap(at, page);
  return (present & 1) != 0;
}

/// Has the host forget what it has of a file. A file system in memory cannot.
inline void evict(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ::fsync(fd.get());
  for (int attempt = 0; attempt < 100 && is_cached(path); ++attempt)
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace ovl
