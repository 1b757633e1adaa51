// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/dir_layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/host_object.h"

namespace ovl {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, DirCloser>;

// overlayfs clones the mount of a layer without its submounts: do the same
// where we may, so that both see what lies under them.
Fd open_root(const std::string& path) {
  const long tree = ::syscall(SYS_open_tree, AT_FDCWD, path.c_str(),
                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0)
    return Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd clone(static_cast<int>(tree));
  return Fd(::openat(clone.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Result<DirStream> open_dir(int root, const std::string& path) {
  Fd fd = OVL_TRY(open_beneath(root, path, O_RDONLY | O_DIRECTORY));
  const int raw = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
  if (raw < 0)
    return last_error(path + ": dup");
  DIR* dir = ::fdopendir(raw);
  if (dir == nullptr) {
    auto error = last_error(path + ": fdopendir");
    ::close(raw);
    return error;
  }
  return DirStream(dir);
}

// The next name, or nullptr at the end or on error (errno is then not 0).
const char* next_name(DIR* dir) {
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir);
    if (entry == nullptr)
      return nullptr;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..")
      return entry->d_name;
  }
}

}  // namespace

Result<std::unique_ptr<Layer>> DirLayer::open(const std::string& path) {
  Fd root = open_root(path);
  if (!root.is_open())
    return last_error(path);
  return std::unique_ptr<Layer>(new DirLayer(path, std::move(root)));
}

Result<LayerObject> DirLayer::root() const {
  return read_host_object(root_.get(), ".").in(name_);
}

Result<std::vector<LayerObject>> DirLayer::list(const std::string& path) const {
  const DirStream dir = OVL_TRY(open_dir(root_.get(), path).in(name_));
  std::vector<LayerObject> objects;
  while (const char* name = next_name(dir.get())) {
    auto object = read_host_object(::dirfd(dir.get()), name);
    objects.push_back(
        OVL_TRY(std::move(object).in(join_path(join_path(name_, path), name))));
  }
  if (errno != 0)
    return last_error(join_path(name_, path) + ": readdir");
  return objects;
}

Result<std::unique_ptr<BlockSource>> DirLayer::open_file(
    const std::string& path, const Stamp& stamp) const {
  Fd fd =
      OVL_TRY(open_beneath(root_.get(), path, O_RDONLY | O_NONBLOCK).in(name_));
  return open_host_file(std::move(fd), stamp).in(join_path(name_, path));
}

}  // namespace ovl
