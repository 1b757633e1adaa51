// SPDX-License-Identifier: BSD-3-Clause
//
// Content first: writing strips set-id bits and capabilities.
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

Result<bool> ObjectWriter::make(const At& at, NodeId id,
                                const std::string& path) {
  const Node& node = target_.pool[id];
  const Status made = make_object(at, id);
  if (!made && target_.unrepresentable != nullptr &&
      target_.unrepresentable->leave_out_object(node.mode, path, made.error()))
    return false;
  OVL_TRY(Status(made));
  OVL_TRY(set_attributes(at, node, [&path] { return path; }));
  return true;
}

// overlayfs would take a 0:0 character device for a whiteout.
Status ObjectWriter::make_object(const At& at, NodeId id) {
  const Node& node = target_.pool[id];
  if (S_ISCHR(node.mode) && node.rdev == DeviceNo{})
    return make_null_device(at);
  if (node.is_regular())
    return make_file(at, id);
  if (node.is_symlink())
    return target_.os.make_symlink(
        at, std::string(target_.pool.strings.get(node.target)));
  return target_.os.make_node(at, node.mode & S_IFMT,
                              node.is_device() ? node.rdev : DeviceNo{});
}

Status ObjectWriter::make_null_device(const At& at) {
  OVL_TRY(target_.os.open_file(at, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return target_.os.set_xattr(
      at, overlay_xattr(target_.family, kNullDeviceMark), "0:0");
}

Status ObjectWriter::make_file(const At& at, NodeId id) {
  std::vector<ByteRange> has;
  if (target_.begin)
    has = OVL_TRY(target_.begin(id, at));
  const int flags = has.empty() ? O_WRONLY | O_CREAT | O_EXCL : O_WRONLY;
  const Fd fd = OVL_TRY(target_.os.open_file(at, flags, 0600));
  return complete(fd.get(), id, has);
}

Status ObjectWriter::complete(int fd, NodeId id,
                              std::span<const ByteRange> has) {
  const Node& node = target_.pool[id];
  OVL_TRY(target_.os.ftruncate(fd, node.size));
  const auto runs = data_runs(target_.pool, node);
  if (!has.empty())
    OVL_TRY(punch_holes(fd, node, runs));
  if (runs.empty())
    return {};
  const auto from = OVL_TRY(target_.content(id));
  for (const DataRun& run : runs) {
    const uint64_t at = uint64_t{run.first_block} * kBlockSize;
    const uint64_t end = at + uint64_t{run.blocks} * kBlockSize;
    OVL_TRY(copy_lacking(fd, id, *from, {at, std::min(end, node.size)}, has));
  }
  return {};
}

Status ObjectWriter::punch_holes(int fd, const Node& node,
                                 std::span<const DataRun> runs) {
  uint64_t at = 0;
  for (const DataRun& run : runs) {
    const uint64_t data = uint64_t{run.first_block} * kBlockSize;
    if (data > at)
      OVL_TRY(target_.os.punch_hole(fd, at, data - at));
    at = data + uint64_t{run.blocks} * kBlockSize;
  }
  return at < node.size ? target_.os.punch_hole(fd, at, node.size - at)
                        : Status();
}

// `has` begins with what is in the range or behind it, before and after.
Status ObjectWriter::copy_lacking(int fd, NodeId id, const BlockSource& from,
                                  const ByteRange& range,
                                  std::span<const ByteRange>& has) {
  uint64_t at = range.begin;
  for (; !has.empty() && has.front().begin < range.end; has = has.subspan(1)) {
    OVL_TRY(share_or_copy(fd, id, from, at, has.front().begin));
    at = has.front().end;
  }
  return share_or_copy(fd, id, from, at, range.end);
}

Status ObjectWriter::share_or_copy(int fd, NodeId id, const BlockSource& from,
                                   uint64_t at, uint64_t end) {
  while (at < end) {
    at += target_.share ? target_.share(fd, id, at, end) : 0;
    const uint64_t part = std::min(kCopyBytes, end - at);
    OVL_TRY(copy_range(fd, from, at, at + part));
    at += part;
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

Status ObjectWriter::make_patch(const At& at, NodeId id,
                                const ContentChange& content) {
  const Fd fd =
      OVL_TRY(target_.os.open_file(at, O_WRONLY | O_CREAT | O_EXCL, 0600));
  std::unique_ptr<BlockSource> from;
  for (const FileRange& range : content.changed) {
    if (range.is_hole)
      continue;
    if (!from)
      from = OVL_TRY(target_.content(id));
    const uint64_t end = (range.first + range.count) * kBlockSize;
    OVL_TRY(copy_range(fd.get(), *from, range.first * kBlockSize,
                       std::min(end, content.size)));
  }
  return {};
}

Status ObjectWriter::make_whiteout(const At& at) {
  return target_.os.make_node(at, S_IFCHR, DeviceNo{});
}

Status ObjectWriter::set_attributes(const At& at, const Node& node,
                                    const std::function<std::string()>& path) {
  return apply_attributes(target_.os, at, all_attributes(target_.rules(), node),
                          {target_.unrepresentable, path});
}

Status ObjectWriter::set_opaque(const At& at) {
  return target_.os.set_xattr(at, overlay_xattr(target_.family, "opaque"), "y");
}

Status ObjectWriter::set_redirect(const At& at, const std::string& path) {
  return target_.os.set_xattr(at, overlay_xattr(target_.family, "redirect"),
                              path);
}

}  // namespace ovl
