// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest made may be deeper than a path or a stack can be long, so
// subdirectories are moved up to the top, one level at a time, and removed
// there when they are empty.
#include "fsengine/overlay/empty_directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "fsengine/base/dir_names.h"

namespace ovl {
namespace {

class Emptier {
 public:
  Emptier(Os& os, int top) : os_(os), top_(top) {}

  Status run() {
    auto names = OVL_TRY(list_names(top_));
    while (!names.empty()) {
      for (const std::string& name : names)
        OVL_TRY(remove({top_, name}).in(name));
      names = OVL_TRY(list_names(top_));
    }
    return {};
  }

 private:
  Status remove(const At& at) {
    if (!OVL_TRY(is_open_directory(at)))
      return os_.unlink(at);
    OVL_TRY(raise_children(at));
    return os_.remove_dir(at);
  }

  // Whether it is a directory, which we then may list and move.
  Result<bool> is_open_directory(const At& at) {
    struct stat st {};
    if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return last_error("stat");
    if (!S_ISDIR(st.st_mode))
      return false;
    if ((st.st_mode & 0700) != 0700)
      OVL_TRY(os_.chmod(at, 0700));
    return true;
  }

  Status raise_children(const At& at) {
    const Fd dir(::openat(at.dir, at.name.c_str(),
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir.is_open())
      return last_error("open");
    for (const std::string& name : OVL_TRY(list_names(dir.get())))
      OVL_TRY(raise({dir.get(), name}).in(name));
    return {};
  }

  Status raise(const At& at) {
    if (!OVL_TRY(is_open_directory(at)))
      return os_.unlink(at);
    for (;;) {
      const At to{top_, "raised." + std::to_string(raised_++)};
      auto moved = os_.rename(at, to, Rename::kNoReplace);
      if (moved || moved.error().code() != EEXIST)
        return moved;
    }
  }

  Os& os_;
  const int top_;
  uint64_t raised_ = 0;
};

}  // namespace

Status empty_directory(Os& os, int dir) {
  return Emptier(os, dir).run();
}

}  // namespace ovl
