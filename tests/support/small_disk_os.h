// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "tests/support/stopping_os.h"

namespace ovl {

/// An Os whose disk has so many bytes for files of upper's, and of staging; log
/// and store are on another one.
template <typename Base>
class SmallDisk : public Base {
 public:
  using Base::Base;

  /// Called once, when the room that a plan takes is given up.
  std::function<void()> on_room;

  void set_root(const std::string& root) { root_ = root; }
  void set_free(uint64_t bytes) { most_ = used() + bytes; }
  void set_unlimited() { most_ = UINT64_MAX; }
  uint64_t free_bytes() const { return most_ - used(); }

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    OVL_TRY(check(fd, bytes.size()));
    return Base::pwrite(fd, bytes, offset);
  }
  Status allocate(int fd, uint64_t size) override {
    OVL_TRY(check(fd, size));
    return Base::allocate(fd, size);
  }
  Status unlink(const At& at) override {
    OVL_TRY(Base::unlink(at));
    if (at.name == "room" && on_room)
      std::exchange(on_room, {})();
    return {};
  }

 private:
  // What is written over takes none, and is written all the same.
  Status check(int fd, uint64_t bytes) const {
    const auto path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    const bool is_ours = path.string().starts_with(root_ + "upper/") ||
                         path.string().starts_with(root_ + "work/ovl/staging/");
    if (most_ != UINT64_MAX && is_ours && used() + bytes > most_)
      return system_error(ENOSPC, "write");
    return {};
  }
  uint64_t used() const {
    std::set<uint64_t> seen;
    uint64_t bytes = 0;
    for (const char* part : {"upper", "work/ovl/staging", "work/ovl/kept"}) {
      std::error_code error;
      std::filesystem::recursive_directory_iterator at(root_ + part, error);
      for (; !error && at != std::filesystem::end(at); at.increment(error)) {
        struct stat st {};
        if (::lstat(at->path().c_str(), &st) == 0 && S_ISREG(st.st_mode) &&
            seen.insert(st.st_ino).second)
          bytes += static_cast<uint64_t>(st.st_blocks) * 512;
      }
    }
    return bytes;
  }

  std::string root_;
  uint64_t most_ = UINT64_MAX;
};

using SmallDiskOs = SmallDisk<StoppingOs>;

}  // namespace ovl
