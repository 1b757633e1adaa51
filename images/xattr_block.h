// SPDX-License-Identifier: BSD-3-Clause
//
// An extended attribute block: one set of attributes, which up to 1024 inodes
// may share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/xattrs.h"

namespace ovl {

/// One attribute as ext2 keeps it.
struct DiskXattr {
  uint8_t name_index = 0;  // stands for the prefix
  std::string name;        // without it
  std::string value;
};

/// The attributes of `set` that ext2 can hold, in the order of its blocks;
/// those with a prefix that it does not know are left out. EINVAL for a
/// malformed access control list or a name that is too long, ENOSPC when the
/// set is larger than a block.
Result<std::vector<DiskXattr>> to_disk_xattrs(const XattrSet& set);

/// Fills an attribute block. REQUIRES: to_disk_xattrs made `xattrs`;
/// out.size() == kBlockSize, all zeros.
void fill_xattr_block(std::span<const DiskXattr> xattrs, uint32_t users,
                      std::span<std::byte> out);

}  // namespace ovl
