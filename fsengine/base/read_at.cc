// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/read_at.h"

#include <unistd.h>

#include <cerrno>

namespace ovl {

Status read_at(int fd, uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n =
        ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return last_error("pread");
    if (n == 0)
      return system_error(ESTALE, "pread: file is shorter than it was");
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace ovl
