// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/host_object.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>

#include "fsengine/base/fd.h"
#include "fsengine/base/paths.h"
#include "fsengine/base/units.h"
#include "fsengine/overlay/host_file.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {
namespace {

// The kernel's bound on the list of names and on one value.
constexpr size_t kMaxXattrBytes = 65536;
constexpr int kDriftRetries = 8;

Result<std::string> read_xattr(const std::string& path, const char* name) {
  std::string value;
  for (int attempt = 0; attempt < kDriftRetries; ++attempt) {
    const ssize_t size = ::lgetxattr(path.c_str(), name, nullptr, 0);
    if (size < 0)
      return last_error(std::string("getxattr ") + name);
    value.resize(static_cast<size_t>(size));
    const ssize_t got =
        ::lgetxattr(path.c_str(), name, value.data(), value.size());
    if (got >= 0) {
      value.resize(static_cast<size_t>(got));
      return value;
    }
    if (errno != ERANGE)
      return last_error(std::string("getxattr ") + name);
  }
  return system_error(ESTALE, std::string("getxattr ") + name);
}

// Linux 6.13 lists by directory and name; before it takes a path, and one
// through /proc costs a quarter more.
ssize_t list_xattrs(int dir, const std::string& name, char* names,
                    size_t size) {
  constexpr long kListxattrat = 465;
  static std::atomic<bool> missing = false;
  if (!missing) {
    const long n = ::syscall(kListxattrat, dir, name.c_str(),
                             AT_SYMLINK_NOFOLLOW, names, size);
    if (n >= 0 || (errno != ENOSYS && errno != EPERM))
      return n;
    missing = true;
  }
  return ::llistxattr(own_fd_path(dir, name).c_str(), names, size);
}

Result<std::string> read_target(int dir, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t n = ::readlinkat(dir, name.c_str(), target, sizeof(target));
  if (n < 0)
    return last_error("readlink");
  return std::string(target, static_cast<size_t>(n));
}

// A run of data in bytes, rounded outwards to blocks; joined with the last
// one where they meet.
void append_run(HoleMap& map, off_t data, off_t hole) {
  const auto first = static_cast<uint32_t>(data / kBlockSize);
  const auto end =
      static_cast<uint32_t>(blocks_for(static_cast<uint64_t>(hole)));
  if (!map.runs.empty()) {
    DataRun& last = map.runs.back();
    if (last.first_block + last.blocks >= first) {
      last.blocks = std::max(last.blocks, end - last.first_block);
      return;
    }
  }
  map.runs.push_back({first, end - first});
}

Result<HoleMap> read_holes(int fd, uint64_t size) {
  HoleMap map;
  map.sparse = true;
  const auto end = static_cast<off_t>(size);
  for (off_t at = 0; at < end;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      break;
    if (data < 0)
      return last_error("SEEK_DATA");
    if (data >= end)
      break;
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0)
      return last_error("SEEK_HOLE");
    append_run(map, data, std::min(hole, end));
    at = hole;
  }
  const bool whole = map.runs.size() == 1 && map.runs[0].first_block == 0 &&
                     map.runs[0].blocks == blocks_for(size);
  return whole ? HoleMap{} : map;
}

// A file that may not be opened shows as full: its reads fail anyway.
Result<HoleMap> holes_of(int dir, const std::string& name, uint64_t size) {
  const Fd fd(::openat(dir, name.c_str(),
                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.is_open() && errno == EACCES)
    return HoleMap{};
  if (!fd.is_open())
    return last_error("open");
  return read_holes(fd.get(), size);
}

// By the count of blocks: asking each file would cost an open. Attributes that
// are too many for an inode have a block that is counted with the content. A
// hole that another block of metadata makes up for is taken for zeros. A file
// with more blocks than a map can tell is more than an image can show.
bool may_have_holes(const struct statx& st, const XattrSet& xattrs) {
  if (blocks_for(st.stx_size) > UINT32_MAX)
    return false;
  constexpr size_t kInodeRoom = 80;
  constexpr size_t kEntry = 16;
  size_t bytes = 0;
  for (const Xattr& xattr : xattrs)
    bytes += kEntry + xattr.name.size() + xattr.value.size();
  const uint64_t other = bytes > kInodeRoom ? kBlockSize : 0;
  return st.stx_blocks * 512 < blocks_for(st.stx_size) * kBlockSize + other;
}

LayerObject object_of(const struct statx& st) {
  LayerObject object;
  object.mode = st.stx_mode;
  object.uid = st.stx_uid;
  object.gid = st.stx_gid;
  object.rdev = DeviceNo::of(st.stx_rdev_major, st.stx_rdev_minor);
  object.size = S_ISREG(st.stx_mode) || S_ISLNK(st.stx_mode) ? st.stx_size : 0;
  object.mtime_sec = st.stx_mtime.tv_sec;
  object.mtime_nsec = st.stx_mtime.tv_nsec;
  object.ctime_tag = ctime_tag_of(st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec);
  object.dev = makedev(st.stx_dev_major, st.stx_dev_minor);
  object.ino = st.stx_ino;
  object.nlink = st.stx_nlink;
  if (st.stx_mask & STATX_BTIME)
    object.birth = {st.stx_btime.tv_sec, st.stx_btime.tv_nsec};
  return object;
}

// Of the kernel's own, or the root of a layer, nothing is under it.
bool is_mounted_over(const struct statx& st, const std::string& name) {
  return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 && name != ".";
}

// The attributes are of what is mounted: there are no others to be had. Its
// content, and what its xattrs say to overlayfs, are not the layer's.
LayerObject stand_in(const struct statx& st) {
  LayerObject object = object_of(st);
  if (!S_ISDIR(object.mode))
    object.mode = S_IFREG | (object.mode & 0777);
  object.is_mount_point = true;
  object.size = 0;
  object.rdev = {};
  object.nlink = 1;
  return object;
}

}  // namespace

Result<XattrSet> read_host_xattrs(int dir, const std::string& name) {
  char names[kMaxXattrBytes];
  const ssize_t size = list_xattrs(dir, name, names, sizeof(names));
  if (size == 0 || (size < 0 && (errno == EOPNOTSUPP || errno == ENODATA)))
    return XattrSet{};
  if (size < 0)
    return last_error("listxattr");
  const std::string path = own_fd_path(dir, name);
  XattrSet set;
  for (const char* at = names; at < names + size;
       at += std::string_view(at).size() + 1) {
    if (is_carried_xattr(at))
      set.push_back({at, OVL_TRY(read_xattr(path, at))});
  }
  std::ranges::sort(set, {}, &Xattr::name);
  return set;
}

Result<LayerObject> read_host_object(int dir, const std::string& name) {
  struct statx st {};
  if (::statx(dir, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_BASIC_STATS | STATX_BTIME, &st) != 0)
    return last_error("statx");
  const bool hidden = is_mounted_over(st, name);
  LayerObject object = hidden ? stand_in(st) : object_of(st);
  object.name = name;
  if (hidden)
    return object;
  object.xattrs = OVL_TRY(read_host_xattrs(dir, name));
  if (S_ISLNK(object.mode))
    object.target = OVL_TRY(read_target(dir, name));
  if (S_ISREG(object.mode) && may_have_holes(st, object.xattrs))
    object.holes = OVL_TRY(holes_of(dir, name, st.stx_size));
  return object;
}

}  // namespace ovl
