// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cerrno>
#include <filesystem>
#include <string>

#include "tests/support/stopping_os.h"

namespace ovl {

/// While it is full, upper's file system has no room for bytes of files: for
/// names, and all else, there is some.
class FullOs : public StoppingOs {
 public:
  void fill_up(bool is_full = true) { is_full_ = is_full; }

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    if (is_full_ && is_staged(fd))
      return system_error(ENOSPC, "write");
    return StoppingOs::pwrite(fd, bytes, offset);
  }

 private:
  static bool is_staged(int fd) {
    const auto path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    return path.string().find("/ovl/staging/") != std::string::npos;
  }

  std::atomic<bool> is_full_ = false;
};

}  // namespace ovl
