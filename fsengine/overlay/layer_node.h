// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/tree.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// The node of an object of layer `index` in directory `parent` (kNoNode: its
/// root), as a guest sees it, with what it says to overlayfs in its marks. It
/// refers to values in `pool` and is not added. REQUIRES: the pool's strings
/// are not full.
Node layer_node(const LayerObject& object, uint16_t index, NodeId parent,
                XattrFamily family, NodePool& pool);

}  // namespace ovl
