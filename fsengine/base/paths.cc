// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace ovl {
namespace {

// openat2 may answer EAGAIN when a rename races with a beneath-walk.
constexpr int kRaceRetries = 16;

int openat2_beneath(int root, const std::string& path, int flags,
                    Submounts submounts) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (submounts == Submounts::kRefuse)
    how.resolve |= RESOLVE_NO_XDEV;
  for (int attempt = 0;; ++attempt) {
    const long fd =
        ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how));
    if (fd >= 0 || errno != EAGAIN || attempt == kRaceRetries)
      return static_cast<int>(fd);
  }
}

// The longest prefix of `path` that ends before a slash and fits a syscall.
size_t first_piece(std::string_view path) {
  if (path.size() < PATH_MAX)
    return path.size();
  return path.rfind('/', PATH_MAX - 2);
}

}  // namespace

bool leads_nowhere(const Error& error) {
  return error.code() == ENOENT || error.code() == ENOTDIR ||
         error.code() == ELOOP;
}

Result<Fd> open_beneath(int root, std::string_view path, int flags,
                        Submounts submounts) {
  const std::string_view whole = path;
  Fd dir;
  for (;;) {
    const int base = dir.is_open() ? dir.get() : root;
    const size_t piece = first_piece(path);
    if (piece == std::string_view::npos)
      return system_error(ENAMETOOLONG, std::string(whole) + ": open");
    const bool last = piece == path.size();
    const std::string step(path.empty() ? "." : path.substr(0, piece));
    Fd next(openat2_beneath(base, step, last ? flags : O_PATH | O_DIRECTORY,
                            submounts));
    if (!next.is_open())
      return last_error(std::string(whole.empty() ? "." : whole) + ": open");
    if (last)
      return next;
    dir = std::move(next);
    path.remove_prefix(piece + 1);
  }
}

std::string own_fd_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

std::string own_fd_path(int dir, std::string_view name) {
  return own_fd_path(dir) + "/" + std::string(name);
}

bool is_name(std::string_view name) {
  constexpr std::string_view kForbidden("/\0", 2);
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(kForbidden) == name.npos;
}

SplitPath split_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos)
    return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string path_of(std::span<const std::string_view> innermost_first) {
  std::string path;
  for (size_t i = innermost_first.size(); i-- > 0;) {
    if (!path.empty())
      path += '/';
    path += innermost_first[i];
  }
  return path;
}

std::string join_path(std::string_view dir, std::string_view name) {
  if (dir.empty())
    return std::string(name);
  return std::string(dir) + "/" + std::string(name);
}

}  // namespace ovl
