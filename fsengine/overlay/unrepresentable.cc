// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/unrepresentable.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>

namespace ovl {
namespace {

constexpr size_t kMostTold = 10000;  // a guest may name any number

// ext4 says so too of an attribute that does not fit into its one block.
bool has_room(int dir) {
  struct statvfs space {};
  constexpr uint64_t kSome = 1 << 20;
  return ::fstatvfs(dir, &space) == 0 &&
         uint64_t{space.f_bavail} * space.f_frsize > kSome;
}

}  // namespace

bool Unrepresentable::is_for_ever(const At& at, const Error& error) {
  switch (error.code()) {
    case EPERM:
    case EINVAL:
    case EOPNOTSUPP:
    case E2BIG:
    case ERANGE:
      return true;
    case ENOSPC:
      return has_room(at.dir);
    default:
      return false;
  }
}

bool Unrepresentable::leave_out(const At& at, std::string_view path,
                                std::string_view what, const Error& error) {
  if (policy_ == Policy::kHold || !is_for_ever(at, error))
    return false;
  tell(path, what, error);
  return true;
}

// Nodes need privilege. Some file systems have shorter symlinks than the
// guest's: XFS of 1023 bytes.
bool Unrepresentable::can_never_be(uint32_t mode, const Error& error) {
  switch (mode & S_IFMT) {
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      return error.code() == EPERM || error.code() == EINVAL ||
             error.code() == EOPNOTSUPP;
    case S_IFLNK:
      return error.code() == ENAMETOOLONG;
    default:
      return false;
  }
}

bool Unrepresentable::leave_out_object(uint32_t mode, std::string_view path,
                                       const Error& error) {
  if (policy_ == Policy::kHold || !can_never_be(mode, error))
    return false;
  tell(path, S_ISLNK(mode) ? "a symlink like this" : "a node like this", error);
  return true;
}

Result<uint32_t> Unrepresentable::permissions(
    const At& at, uint32_t mode, const std::function<std::string()>& path) {
  constexpr uint32_t kReadAndGo = S_IRUSR | S_IXUSR;
  if (is_privileged_ || !keeps_access() || (mode & kReadAndGo) == kReadAndGo)
    return mode;
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return last_error("stat");
  const uint32_t needed = S_ISDIR(st.st_mode)   ? kReadAndGo
                          : S_ISREG(st.st_mode) ? S_IRUSR
                                                : 0U;
  if ((mode & needed) != needed)
    tell(path(), "permissions that bar its owner",
         Error(EACCES, "they would bar this process"));
  return mode | needed;
}

void Unrepresentable::tell(std::string_view path, std::string_view what,
                           const Error& error) {
  const std::string line =
      "upperdir: " + std::string(path) + ": " + std::string(what) +
      " cannot be there: " + error.what() + "; only the device shows it";
  if (told_.size() < kMostTold && told_.insert(line).second)
    report_(line);
}

}  // namespace ovl
