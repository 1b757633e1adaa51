// SPDX-License-Identifier: BSD-3-Clause
//
// Random operations on a guest's file system.
#pragma once

#include <sys/stat.h>

#include <random>
#include <span>
#include <string>

#include "fsengine/base/paths.h"
#include "tests/support/nbd_guest_fs.h"

namespace ovl {

/// Those that can succeed, of few names, so that they meet.
class RandomOps {
 public:
  RandomOps(GuestFs& guest, std::mt19937_64& random)
      : guest_(guest), random_(random) {}

  Status one() {
    const std::string path = some_path();
    const std::string other = some_path();
    const uint32_t mode = mode_of(path);
    if (mode == 0)
      return make(path);
    switch (below(12)) {
      case 0:
        return guest_.remove_tree(path);
      case 1:
        return guest_.chmod(path, below(2) == 0 ? 0755 : 0700);
      case 2:
        return guest_.set_mtime(path, {static_cast<int64_t>(below(3)), 5});
      case 3:
      case 4:
        return move(path, other);
      default:
        return S_ISREG(mode) ? change(path, other) : Status();
    }
  }

 private:
  uint64_t below(uint64_t count) { return random_() % count; }

  std::string some_path() {
    std::string path;
    for (uint64_t depth = 1 + below(3); depth > 0; --depth)
      path = join_path(path, std::string(1, static_cast<char>('a' + below(5))));
    return path;
  }

  // 0: there is none.
  uint32_t mode_of(const std::string& path) {
    const auto ino = guest_.lookup(path);
    return ino ? guest_.read_inode(*ino)->fields.i_mode : 0;
  }
  bool has_parent(const std::string& path) {
    const std::string dir(split_path(path).dir);
    return dir.empty() || S_ISDIR(mode_of(dir));
  }

  Status make(const std::string& path) {
    if (!has_parent(path))
      return {};
    switch (below(6)) {
      case 0:
      case 1:
        return guest_.mkdir(path, 0755);
      case 2:
        return guest_.symlink("to " + std::to_string(below(2)), path);
      case 3:
        return guest_.make_node(
            path, below(2) == 0 ? S_IFIFO | 0600 : S_IFCHR | 0600);
      default:
        OVL_TRY(guest_.make_node(path, S_IFREG | 0644));
        return write(path);
    }
  }

  Status move(const std::string& from, const std::string& to) {
    if (!has_parent(to) || (to + "/").starts_with(from + "/") ||
        (from + "/").starts_with(to + "/"))
      return {};
    const uint32_t replaced = mode_of(to);
    if (S_ISDIR(replaced) && below(4) != 0)
      return {};
    if (replaced != 0)
      OVL_TRY(guest_.remove_tree(to));
    return guest_.rename(from, to);
  }

  Status change(const std::string& path, const std::string& other) {
    switch (below(5)) {
      case 0:
        return guest_.truncate(path, below(3) * 5000);
      case 1:
        return guest_.punch(path, below(3), 1);
      case 2:
        return has_parent(other) && mode_of(other) == 0
                   ? guest_.link(path, other)
                   : Status();
      default:
        return write(path);
    }
  }

  Status write(const std::string& path) {
    const std::string bytes(1 + below(6000), static_cast<char>('x' + below(2)));
    return guest_.write(path, below(3) * kBlockSize,
                        std::as_bytes(std::span(bytes)));
  }

  GuestFs& guest_;
  std::mt19937_64& random_;
};

}  // namespace ovl
