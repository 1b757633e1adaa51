// SPDX-License-Identifier: BSD-3-Clause
//
// Order matters: writing and chown strip set-id bits and capabilities, so
// content comes first, then owner, mode, extended attributes, and the time
// when nothing else will touch it.
#include "fsengine/overlay/object_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fsengine/base/units.h"

namespace ovl {
namespace {

constexpr uint64_t kCopyBytes = 1 << 20;

}  // namespace

Status ObjectWriter::make(const At& at, NodeId id) {
  const Node& node = target_.pool[id];
  if (S_ISCHR(node.mode) && node.rdev == DeviceNo{})
    return fail(ENOTSUP, "a 0:0 character device cannot be kept in upperdir");
  if (node.is_regular())
    OVL_TRY(make_file(at, id));
  else if (node.is_symlink())
    OVL_TRY(target_.os.make_symlink(
        at, std::string(target_.pool.strings.get(node.target))));
  else
    OVL_TRY(target_.os.make_node(at, node.mode & S_IFMT,
                                 node.is_device() ? node.rdev : DeviceNo{}));
  return set_attributes(at, node);
}

Status ObjectWriter::make_file(const At& at, NodeId id) {
  const Fd fd =
      OVL_TRY(target_.os.open_file(at, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return copy_content(fd.get(), id);
}

Status ObjectWriter::copy_content(int fd, NodeId id) {
  const Node& node = target_.pool[id];
  OVL_TRY(target_.os.ftruncate(fd, node.size));
  const auto runs = data_runs(target_.pool, node);
  if (runs.empty())
    return {};
  const auto from = OVL_TRY(target_.content(id));
  for (const DataRun& run : runs) {
    const uint64_t at = uint64_t{run.first_block} * kBlockSize;
    const uint64_t end = at + uint64_t{run.blocks} * kBlockSize;
    OVL_TRY(copy_range(fd, *from, at, std::min(end, node.size)));
  }
  return {};
}

Status ObjectWriter::copy_range(int fd, const BlockSource& from, uint64_t at,
                                uint64_t end) {
  std::vector<std::byte> buffer(std::min(kCopyBytes, end - at));
  while (at < end) {
    const auto part =
        std::span(buffer).first(std::min<uint64_t>(buffer.size(), end - at));
    OVL_TRY(from.read(at, part));
    OVL_TRY(target_.os.pwrite(fd, part, at));
    at += part.size();
  }
  return {};
}

Status ObjectWriter::make_whiteout(const At& at) {
  return target_.os.make_node(at, S_IFCHR, DeviceNo{});
}

Status ObjectWriter::set_attributes(const At& at, const Node& node) {
  OVL_TRY(set_owner(at, node));
  OVL_TRY(set_mode(at, node));
  OVL_TRY(set_xattrs(at, target_.pool.xattrs.get(node.xattrs), {}));
  if (node.flags != kFlagNone)
    OVL_TRY(set_flags(at, node));
  return set_time(at, node);
}

Status ObjectWriter::change_attributes(const At& at, const Node& from,
                                       const Node& node) {
  const XattrSet& have = target_.pool.xattrs.get(from.xattrs);
  const XattrSet& want = target_.pool.xattrs.get(node.xattrs);
  const bool chown = from.uid != node.uid || from.gid != node.gid;
  if (chown)
    OVL_TRY(set_owner(at, node));
  OVL_TRY(remove_xattrs(at, want, have));
  if (chown || from.mode != node.mode || node.is_dir())
    OVL_TRY(set_mode(at, node));
  // chown drops a capability that the guest kept or set again.
  OVL_TRY(set_xattrs(at, want, chown ? XattrSet{} : have));
  if (from.flags != node.flags)
    OVL_TRY(set_flags(at, node));
  return set_time(at, node);
}

Status ObjectWriter::set_owner(const At& at, const Node& node) {
  if (target_.owner == OwnerPolicy::kSquash)
    return {};
  return target_.os.chown(at, {node.uid, node.gid});
}

Status ObjectWriter::set_mode(const At& at, const Node& node) {
  if (node.is_symlink())
    return {};
  return target_.os.chmod(at, node.mode & 07777);
}

Status ObjectWriter::set_xattrs(const At& at, const XattrSet& set,
                                const XattrSet& have) {
  for (const Xattr& xattr : set) {
    const std::string* old = find_xattr(have, xattr.name);
    if (old == nullptr || *old != xattr.value)
      OVL_TRY(target_.os.set_xattr(
          at, stored_xattr_name(target_.family, xattr.name), xattr.value));
  }
  return {};
}

Status ObjectWriter::remove_xattrs(const At& at, const XattrSet& set,
                                   const XattrSet& have) {
  for (const Xattr& xattr : have) {
    if (find_xattr(set, xattr.name) != nullptr)
      continue;
    auto removed = target_.os.remove_xattr(
        at, stored_xattr_name(target_.family, xattr.name));
    if (!removed && removed.error().code() != ENODATA)
      return removed;
  }
  return {};
}

// In an attribute of overlayfs: real ones would bar the kernel, and us.
Status ObjectWriter::set_flags(const At& at, const Node& node) {
  const std::string name = overlay_xattr(target_.family, "protattr");
  if (node.flags == kFlagNone)
    return target_.os.remove_xattr(at, name);
  const std::string value =
      std::string((node.flags & kFlagAppend) != 0 ? "a" : "") +
      ((node.flags & kFlagImmutable) != 0 ? "i" : "");
  return target_.os.set_xattr(at, name, value);
}

Status ObjectWriter::set_time(const At& at, const Node& node) {
  return target_.os.set_mtime(at, {node.mtime_sec, node.mtime_nsec});
}

Status ObjectWriter::set_opaque(const At& at) {
  return target_.os.set_xattr(at, overlay_xattr(target_.family, "opaque"), "y");
}

Status ObjectWriter::set_redirect(const At& at, const std::string& path) {
  return target_.os.set_xattr(at, overlay_xattr(target_.family, "redirect"),
                              path);
}

}  // namespace ovl
