// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/layer_node.h"

#include <algorithm>

namespace ovl {
namespace {

// Longer values name no path that could exist.
constexpr size_t kMaxRedirect = 8192;

bool is_whiteout(const LayerObject& object, XattrFamily family) {
  if (S_ISCHR(object.mode))
    return object.rdev == DeviceNo{};
  return S_ISREG(object.mode) && object.size == 0 &&
         find_xattr(object.xattrs, overlay_xattr(family, "whiteout"));
}

bool is_opaque(const LayerObject& object, XattrFamily family) {
  const auto* value =
      find_xattr(object.xattrs, overlay_xattr(family, "opaque"));
  return value != nullptr && *value == "y";
}

// A kernel that changed the file since made it an ordinary one.
bool is_null_device(const LayerObject& object, XattrFamily family) {
  const auto* value =
      find_xattr(object.xattrs, overlay_xattr(family, kNullDeviceMark));
  return S_ISREG(object.mode) && object.size == 0 && value != nullptr &&
         *value == "0:0";
}

XattrSet guest_xattrs(const XattrSet& stored, XattrFamily family) {
  XattrSet shown;
  for (const Xattr& xattr : stored)
    if (auto name = guest_xattr_name(family, xattr.name))
      shown.push_back({std::move(*name), xattr.value});
  std::ranges::sort(shown, {}, &Xattr::name);
  return shown;
}

// As the kernel: a value with any other byte is void as a whole.
uint8_t protected_flags(const LayerObject& object, XattrFamily family) {
  int flags = kFlagNone;
  const auto* value =
      find_xattr(object.xattrs, overlay_xattr(family, "protattr"));
  for (const char letter : value != nullptr ? *value : std::string()) {
    if (letter != 'a' && letter != 'i')
      return kFlagNone;
    flags |= letter == 'a' ? kFlagAppend : kFlagImmutable;
  }
  return static_cast<uint8_t>(flags);
}

void set_kind(Node& node, const LayerObject& object, NodePool& pool) {
  if (node.is_dir())
    node.lower = kNoNode;
  else if (node.is_symlink())
    node.target = pool.strings.add(object.target);
  else if (node.is_device())
    node.rdev = object.rdev;
  else if (node.is_regular())
    node.holes = pool.hole_maps.intern(object.holes);
}

void set_redirect(Node& node, const LayerObject& object, XattrFamily family,
                  NodePool& pool) {
  const auto* value =
      find_xattr(object.xattrs, overlay_xattr(family, "redirect"));
  if (value == nullptr)
    return;
  node.has_redirect = true;
  node.redirect = pool.strings.add(
      value->substr(0, std::min(value->find(char{}), kMaxRedirect)));
}

void set_marks(Node& node, const LayerObject& object, XattrFamily family,
               NodePool& pool) {
  if (is_whiteout(object, family))
    node.marks |= kMarkWhiteout;
  if (node.layer == 0)
    node.flags = protected_flags(object, family);
  if (node.is_dir() && is_opaque(object, family))
    node.marks |= kMarkOpaque;
  if (node.is_regular() &&
      find_xattr(object.xattrs, overlay_xattr(family, "metacopy")))
    node.marks |= kMarkMetacopy;
  if (node.is_dir() || (node.marks & kMarkMetacopy))
    set_redirect(node, object, family, pool);
}

}  // namespace

Node layer_node(const LayerObject& object, uint16_t index, NodeId parent,
                XattrFamily family, NodePool& pool) {
  Node node;
  node.layer = index;
  node.host_dir = parent;
  node.host_ino = object.ino;
  if (parent != kNoNode)
    node.host_name = pool.strings.add(object.name);
  node.mode = static_cast<uint16_t>(object.mode);
  if (is_null_device(object, family))
    node.mode = static_cast<uint16_t>(S_IFCHR | (object.mode & 07777));
  node.uid = object.uid;
  node.gid = object.gid;
  node.size = object.size;
  node.mtime_sec = object.mtime_sec;
  node.mtime_nsec = object.mtime_nsec;
  node.ctime_tag = object.ctime_tag;
  node.xattrs = pool.xattrs.intern(guest_xattrs(object.xattrs, family));
  set_kind(node, object, pool);
  set_marks(node, object, family, pool);
  return node;
}

}  // namespace ovl
