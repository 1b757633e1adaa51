// SPDX-License-Identifier: BSD-3-Clause
//
// Arrays of plain values one behind the other, so that both ways cost little
// more than a copy. Strings keep their places, so references to them are
// numbers that stay as they are.
#include "fsengine/base/string_codec.h"
#include "fsengine/base/tree_codec.h"
#include "fsengine/base/tree_records.h"

namespace ovl {
namespace {

uint32_t special_of(const Node& node) {
  if (node.is_regular())
    return static_cast<uint32_t>(node.holes);
  if (node.is_symlink())
    return static_cast<uint32_t>(node.target);
  if (node.is_dir())
    return to_int(node.lower);
  return node.is_device() ? node.rdev.packed : 0;
}

NodeRecord record_of(const Node& node) {
  return {.size = node.size,
          .mtime_sec = node.mtime_sec,
          .host_ino = node.host_ino,
          .mtime_nsec = node.mtime_nsec,
          .uid = node.uid,
          .gid = node.gid,
          .xattrs = static_cast<uint32_t>(node.xattrs),
          .special = special_of(node),
          .source = to_int(node.source),
          .host_dir = to_int(node.host_dir),
          .host_name = static_cast<uint32_t>(node.host_name),
          .redirect = static_cast<uint32_t>(node.redirect),
          .entries = node.entry_count,
          .ctime_tag = node.ctime_tag,
          .zero = 0,
          .mode = node.mode,
          .layer = node.layer,
          .marks = node.marks,
          .flags = node.flags,
          .has_redirect = static_cast<uint8_t>(node.has_redirect ? 1 : 0),
          .zero_too = 0};
}

PoolHeader header_of(const PoolPart& part) {
  PoolHeader header{};
  const NodePool& pool = part.pool;
  for (uint32_t id = 0; id < part.nodes; ++id)
    header.entries += pool[NodeId{id}].entry_count;
  header.nodes = part.nodes;
  header.xattr_sets = pool.xattrs.size() - 1;
  header.hole_maps = pool.hole_maps.size() - 1;
  header.lower_root = to_int(part.lower_root);
  header.merged_root = to_int(part.merged_root);
  return header;
}

Status write_xattrs(CheckedWriter& out, const XattrSet& set) {
  OVL_TRY(out.put(static_cast<uint32_t>(set.size())));
  for (const Xattr& xattr : set) {
    OVL_TRY(out.put_string(xattr.name));
    OVL_TRY(out.put_string(xattr.value));
  }
  return {};
}

Status write_holes(CheckedWriter& out, const HoleMap& map) {
  OVL_TRY(out.put(static_cast<uint32_t>(map.runs.size())));
  return out.put_bytes(std::as_bytes(std::span(map.runs)));
}

}  // namespace

Status write_trees(CheckedWriter& out, const PoolPart& part) {
  const NodePool& pool = part.pool;
  const PoolHeader header = header_of(part);
  OVL_TRY(out.put(header));
  OVL_TRY(write_strings(out, pool.strings));
  for (uint32_t i = 1; i <= header.xattr_sets; ++i)
    OVL_TRY(write_xattrs(out, pool.xattrs.get(XattrsId{i})));
  for (uint32_t i = 1; i <= header.hole_maps; ++i)
    OVL_TRY(write_holes(out, pool.hole_maps.get(HoleMapId{i})));
  for (uint32_t id = 0; id < part.nodes; ++id)
    OVL_TRY(out.put(record_of(pool[NodeId{id}])));
  for (uint32_t id = 0; id < part.nodes; ++id)
    OVL_TRY(out.put_bytes(std::as_bytes(pool.entries(NodeId{id}))));
  return {};
}

}  // namespace ovl
