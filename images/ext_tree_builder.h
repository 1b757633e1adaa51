// SPDX-License-Identifier: BSD-3-Clause
//
// The last pass: from checked inodes and names to a Tree that shares with the
// merged tree everything that did not change.
#pragma once

#include "images/ext_links.h"
#include "images/ext_scan.h"

namespace ovl {

/// Adds the nodes that are new to the pool. ENOMEM when the pool is full.
Result<Tree> build_guest_tree(const ExtReaderInput& input, const ExtScan& scan,
                              const ExtLinks& links);

}  // namespace ovl
