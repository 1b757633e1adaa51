// SPDX-License-Identifier: BSD-3-Clause
//
// The parts of fixed size of written trees (FORMAT.md, "The layout").
#pragma once

#include <cstdint>

#include "fsengine/base/checked_file.h"
#include "fsengine/base/hole_map.h"
#include "fsengine/base/tree.h"

namespace ovl {

struct PoolHeader {
  uint64_t entries;
  uint32_t nodes;
  uint32_t xattr_sets;  // without the empty one
  uint32_t hole_maps;   // without that of a file without holes
  uint32_t lower_root;
  uint32_t merged_root;
  uint32_t zero;
};
static_assert(sizeof(PoolHeader) == 32);

struct NodeRecord {
  uint64_t size;
  int64_t mtime_sec;
  uint64_t host_ino;
  uint32_t mtime_nsec;
  uint32_t uid;
  uint32_t gid;
  uint32_t xattrs;
  uint32_t special;  // of the type: hole map, target, device number, lower
  uint32_t source;
  uint32_t host_dir;
  uint32_t host_name;
  uint32_t redirect;
  uint32_t entries;
  uint32_t ctime_tag;
  uint32_t zero;
  uint16_t mode;
  uint16_t layer;
  uint8_t marks;
  uint8_t flags;
  uint8_t has_redirect;
  uint8_t zero_too;
};
static_assert(sizeof(NodeRecord) == 80);

static_assert(sizeof(Entry) == 8 && Plain<Entry> && sizeof(DataRun) == 8);

}  // namespace ovl
