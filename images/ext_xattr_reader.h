// SPDX-License-Identifier: BSD-3-Clause
//
// Extended attributes as ext2 stores them, behind the inode and in a block
// that many inodes may share, in the form that getxattr(2) returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/result.h"
#include "fsengine/base/xattrs.h"

namespace ovl {

/// Adds the attributes of an inode's own area (ExtInode::xattr_area) to `set`;
/// an area without the magic number has none.
Status read_inode_xattrs(std::span<const std::byte> area, XattrSet& set);

/// Adds the attributes of an attribute block to `set`. REQUIRES: a whole
/// block, which xattr_block_users accepted.
Status read_block_xattrs(std::span<const std::byte> block, XattrSet& set);

/// How many inodes the block says it belongs to; EUCLEAN when it is not a
/// block of attributes.
Result<uint32_t> xattr_block_users(std::span<const std::byte> block);

/// Sorts by name. Of two with one name, which a crash may leave in an inode and
/// in its block, the first counts: the kernel looks into the inode first, and
/// e2fsck lets them be.
void sort_xattrs(XattrSet& set);

}  // namespace ovl
