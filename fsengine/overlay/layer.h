// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/hole_map.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/base/xattrs.h"

namespace ovl {

/// An object as its layer stores it: overlayfs's own attributes included,
/// nothing interpreted.
struct LayerObject {
  std::string name;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  DeviceNo rdev{};
  uint64_t size = 0;
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint32_t ctime_tag = 0;  // see ctime_tag_of
  uint64_t dev = 0;        // dev and ino tell hard links apart within one scan
  uint64_t ino = 0;
  uint64_t nlink = 1;
  std::optional<Timestamp> birth;  // where the file system tells it
  XattrSet xattrs;  // carried ones (is_carried_xattr), sorted by name
  std::string target;
  HoleMap holes;
  // Something is mounted over the name, and what is under it cannot be seen:
  // this is an empty directory or file in its place.
  bool is_mount_point = false;
};

/// One layer of the stack: a directory. Paths are relative to its root, ""
/// is the root, and never pass through a symlink. Safe for concurrent use.
class Layer {
 public:
  virtual ~Layer() = default;

  /// What the user called it, for messages.
  virtual const std::string& name() const = 0;

  virtual Result<LayerObject> root() const = 0;

  /// All objects in directory `path`, in no order, without "." and ".."; EXDEV
  /// when something is mounted there.
  virtual Result<std::vector<LayerObject>> list(
      const std::string& path) const = 0;

  /// The object at `path`; ENOENT when there is none, or a symlink leads there.
  virtual Result<LayerObject> find(const std::string& path) const = 0;

  /// Directory `path`, to open files in: see HostFile.
  virtual Result<Fd> open_dir(const std::string& path) const = 0;
};

}  // namespace ovl
