// SPDX-License-Identifier: BSD-3-Clause
//
// What decoding remembers of an inode: enough to tell what changed since.
#pragma once

#include <cstdint>

#include "fsengine/base/block_source.h"
#include "fsengine/base/change.h"
#include "images/ext_inode.h"

namespace ovl {

struct CatalogInode {
  uint64_t size = 0;
  int64_t mtime_sec = 0;
  uint64_t xattr_hash = 0;  // of all attributes' bytes; 0: none
  // Of pointers, extents or a fast target, and of which of them it is.
  uint64_t pointer_hash = 0;
  uint32_t generation = 0;       // of the object
  uint32_t said_generation = 0;  // generation_of() the inode
  uint32_t mtime_nsec = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t flags = 0;  // as the inode has them
  uint32_t xattr_block = 0;
  uint32_t rdev = 0;    // DeviceNo of a device
  uint32_t parent = 0;  // of a directory: what its `..` says
  uint16_t mode = 0;    // 0: the inode is free
  uint16_t links = 0;

  bool is_free() const { return mode == 0; }
  /// Has it a name in the tree?
  bool has_names() const { return mode != 0 && links != 0; }
  bool is_dir() const { return S_ISDIR(mode); }
  bool is_regular() const { return S_ISREG(mode); }
  uint16_t type() const { return static_cast<uint16_t>(mode & S_IFMT); }
  bool operator==(const CatalogInode&) const = default;
};

/// What tells apart the objects that have a number one after the other: when
/// it was made, hashed; or the inode's generation where that is not said.
uint32_t generation_of(const ExtInode& inode);

ObjectId id_of(Ino ino, const CatalogInode& inode);
Attributes attributes_of(const CatalogInode& inode);
/// AttributeBit for each attribute in which the two differ.
uint8_t changed_attributes(const CatalogInode& a, const CatalogInode& b);

/// What `inode` is, its attribute block, if any, read from `view`; `parent` is
/// left 0. EUCLEAN when it is in use and a value makes no sense.
Result<CatalogInode> describe_inode(const BlockSource& view,
                                    const ExtInode& inode);

}  // namespace ovl
