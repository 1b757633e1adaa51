// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "tests/support/stopping_os.h"

namespace ovl {

/// An Os in which upper's file system, while it is full, has no room for bytes
/// of files: for names, and all else, there is some.
template <typename Base>
class FullDisk : public Base {
 public:
  using Base::Base;

  /// Called once, when there is no room for the first time.
  std::function<void()> on_refusal;

  void fill_up(bool is_full = true) { is_full_ = is_full; }

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    if (!is_full_ || !is_staged(fd))
      return Base::pwrite(fd, bytes, offset);
    if (on_refusal)
      std::exchange(on_refusal, {})();
    return system_error(ENOSPC, "write");
  }

 private:
  static bool is_staged(int fd) {
    const auto path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    return path.string().find("/ovl/staging/") != std::string::npos;
  }

  std::atomic<bool> is_full_ = false;
};

using FullOs = FullDisk<StoppingOs>;

}  // namespace ovl
