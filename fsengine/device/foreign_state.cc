// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/foreign_state.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/fd.h"
#include "fsengine/device/unsettled.h"

namespace ovl {
namespace {

constexpr const char* kIndex = "index";
constexpr const char* kWork = "work";
constexpr const char* kIncompat = "work/incompat";

// The kernel makes its directories without permissions for anybody; that one
// has no directories in it can be told all the same, on most file systems.
bool has_no_directories(int parent, const char* path) {
  constexpr nlink_t kItselfAndParent = 2;
  struct stat st {};
  return ::fstatat(parent, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(st.st_mode) && st.st_nlink == kItselfAndParent;
}

// Sorted, none when there is no such directory.
Result<std::vector<std::string>> names_in(int parent, const char* path) {
  const Fd fd(
      ::openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open() && errno == ENOENT)
    return std::vector<std::string>{};
  if (!fd.is_open())
    return last_error(path);
  auto names = OVL_TRY(list_names(fd.get()).in(path));
  std::ranges::sort(names);
  return names;
}

Error unreadable(const std::string& where) {
  return Error(EACCES,
               where +
                   ": made by the kernel's overlayfs, may not be read: to go "
                   "on, start nbdkit as root, or remove it if no overlay that "
                   "was mounted with index=on or volatile used it");
}

Status refuse_index(int work, const std::string& what) {
  const auto names = names_in(work, kIndex);
  const std::string where = what + "/" + kIndex;
  if (!names && names.error().code() == EACCES)
    return tl::unexpected(unreadable(where));
  if (!names)
    return tl::unexpected(names.error().in(what));
  if (names->empty())
    return {};
  return fail(ENOTSUP,
              where +
                  ": not empty: upperdir was mounted with index=on, which is "
                  "not supported: to go on, remove it: changes of a file with "
                  "several names in a lower are then under the names that "
                  "upperdir has, and no others");
}

Status refuse_incompat(int work, const std::string& what) {
  auto names = names_in(work, kIncompat);
  if (!names && names.error().code() == EACCES) {
    if (has_no_directories(work, kWork))
      return {};
    return tl::unexpected(unreadable(what + "/" + kWork));
  }
  if (!names)
    return tl::unexpected(names.error().in(what));
  std::erase(*names, kUnsettledEntry);
  if (names->empty())
    return {};
  return fail(EBUSY, what + "/" + kIncompat + "/" + names->front() +
                         ": upperdir was left unsettled, by a volatile mount "
                         "or another program: to go on, look through upperdir "
                         "for what is missing, and remove this");
}

}  // namespace

Status refuse_foreign_state(int work, const std::string& what) {
  OVL_TRY(refuse_index(work, what));
  return refuse_incompat(work, what);
}

}  // namespace ovl
