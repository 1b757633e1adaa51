// SPDX-License-Identifier: BSD-3-Clause
//
// The second pass over a file system that a guest left: from the root down,
// are the names and the inodes one tree?
#pragma once

#include <cstdint>
#include <vector>

#include "images/ext_scan.h"

namespace ovl {

struct ExtLinks {
  /// Directories, each after its parent.
  std::vector<uint32_t> order;
  /// For each inode: how many of its names are the ones that the merged tree
  /// has for its source.
  std::vector<uint32_t> same_names;
};

/// EUCLEAN, naming path and inode, unless every inode is reached, has as many
/// names as links, every directory has one name and the right `..`.
Result<ExtLinks> check_links(const ExtReaderInput& input, const ExtScan& scan);

}  // namespace ovl
