// SPDX-License-Identifier: BSD-3-Clause
//
// The names in a directory of a scanned file system, whether they were read
// from the device or are still its source's.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "images/ext_scan.h"

namespace ovl {

struct Child {
  std::string_view name;
  uint32_t inode = kNone;        // index into ExtScan::inodes
  std::optional<StrRef> kept{};  // the source has the name: its reference
  bool same = false;  // the merged tree has this object by this very name
};

/// The names of directory `index`, sorted. EUCLEAN when one leads to an inode
/// that is free or reserved, or tells another type than the inode does.
Result<std::vector<Child>> children_of(const ExtReaderInput& input,
                                       const ExtScan& scan, uint32_t index);

}  // namespace ovl
