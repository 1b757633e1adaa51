// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

struct ScanResult {
  NodeId root = kNoNode;
  bool has_unreadable = false;            // some directory got kMarkUnreadable
  std::vector<std::string> mount_points;  // what LayerObject says of, sorted
};

/// Adds every object of `layer` to the pool, several threads listing
/// directories at once, and returns the root. Whiteouts are nodes with a mark;
/// opaque and redirect are noted on their directories; the names of a hard
/// link share a node; attributes are as the guest sees them. A directory that
/// we may not list has a mark and no entries, and one that something is mounted
/// on has none. Node order depends on timing:
/// nothing visible may depend on it.
Result<ScanResult> scan_layer(const Layer& layer, uint16_t index,
                              XattrFamily family, NodePool& pool);

}  // namespace ovl
