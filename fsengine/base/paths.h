// SPDX-License-Identifier: BSD-3-Clause
//
// Host paths, resolved beneath a root and never through a symbolic link or a
// magic link other than our own /proc/self/fd.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"

namespace ovl {

/// Whether a path may lead onto what is mounted beneath its root.
enum class Submounts { kRefuse, kEnter };

/// Opens `path` beneath `root` with openat2 (beneath, no symlinks); "" is the
/// root itself. Paths longer than PATH_MAX are walked in pieces. Adds
/// O_CLOEXEC and O_NOFOLLOW. An error names the path and the cause; EXDEV is
/// that of a mount point on the way.
Result<Fd> open_beneath(int root, std::string_view path, int flags,
                        Submounts submounts = Submounts::kRefuse);

/// Does an error of opening tell that nothing is at the path?
bool leads_nowhere(const Error& error);

/// A path that names an open file of ours, for calls that take only paths.
std::string own_fd_path(int fd);
/// The same for a name in an open directory; the name is not followed.
std::string own_fd_path(int dir, std::string_view name);

/// True for what can be a name in a directory: not empty, no dots that lead
/// elsewhere, no slash and no zero.
bool is_name(std::string_view name);

/// `path` split at its last slash: what is before it ("" when none), and after.
struct SplitPath {
  std::string_view dir;
  std::string_view name;
};
SplitPath split_path(std::string_view path);

/// A path of names that were collected from the innermost outwards.
std::string path_of(std::span<const std::string_view> innermost_first);

/// `dir` and `name` joined by a slash; `name` alone when `dir` is empty.
std::string join_path(std::string_view dir, std::string_view name);

}  // namespace ovl
