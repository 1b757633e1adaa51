// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// Adds every object of `layer` to the pool, several threads listing
/// directories at once, and returns its root. Whiteouts are nodes with a mark;
/// opaque and redirect are noted on their directories; the names of a hard
/// link share a node; attributes are as the guest sees them. Node order
/// depends on timing: nothing visible may depend on it.
Result<NodeId> scan_layer(const Layer& layer, uint16_t index,
                          XattrFamily family, NodePool& pool);

}  // namespace ovl
