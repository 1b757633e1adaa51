// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/dir_layer.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/paths.h"
#include "fsengine/overlay/host_object.h"

namespace ovl {
namespace {

// overlayfs clones the mount of a layer without its submounts: do the same
// where we may, so that both see what lies under them. Nothing that is mounted
// later may reach the clone. Where we may not, open_beneath stops at mounts.
Fd clone_mount(const std::string& path) {
  const long fd = ::syscall(SYS_open_tree, AT_FDCWD, path.c_str(),
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  Fd clone(static_cast<int>(fd));
  mount_attr alone{};
  alone.propagation = MS_PRIVATE;
  if (clone.is_open() && ::syscall(SYS_mount_setattr, clone.get(), "",
                                   AT_EMPTY_PATH, &alone, sizeof(alone)) != 0)
    return Fd();
  return clone;
}

Fd open_root(const Fd& clone, const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  return Fd(clone.is_open() ? ::openat(clone.get(), ".", kFlags)
                            : ::open(path.c_str(), kFlags));
}

}  // namespace

Result<std::unique_ptr<Layer>> DirLayer::open(const std::string& path) {
  Fd mount = clone_mount(path);
  Fd root = open_root(mount, path);
  if (!root.is_open())
    return last_error(path);
  return std::unique_ptr<Layer>(
      new DirLayer(path, std::move(mount), std::move(root)));
}

Result<LayerObject> DirLayer::root() const {
  return read_host_object(root_.get(), ".").in(name_);
}

Result<std::vector<LayerObject>> DirLayer::list(const std::string& path) const {
  const Fd dir = OVL_TRY(
      open_beneath(root_.get(), path, O_RDONLY | O_DIRECTORY).in(name_));
  const std::string where = join_path(name_, path);
  const auto names = OVL_TRY(list_names(dir.get()).in(where));
  std::vector<LayerObject> objects;
  objects.reserve(names.size());
  for (const std::string& name : names)
    objects.push_back(
        OVL_TRY(read_host_object(dir.get(), name).in(join_path(where, name))));
  return objects;
}

Result<LayerObject> DirLayer::find(const std::string& path) const {
  const SplitPath split = split_path(path);
  const Fd dir = OVL_TRY(
      open_beneath(root_.get(), split.dir, O_PATH | O_DIRECTORY).in(name_));
  LayerObject object =
      OVL_TRY(read_host_object(dir.get(), std::string(split.name))
                  .in(join_path(name_, path)));
  if (object.is_mount_point)
    return system_error(EXDEV, join_path(name_, path));
  return object;
}

Result<Fd> DirLayer::open_dir(const std::string& path) const {
  return open_beneath(root_.get(), path, O_PATH | O_DIRECTORY).in(name_);
}

}  // namespace ovl
