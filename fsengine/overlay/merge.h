// SPDX-License-Identifier: BSD-3-Clause
//
// The overlay rules, once: one scanned layer over the tree below it.
#pragma once

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/data_layers.h"
#include "fsengine/overlay/layer.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// What every layer of one stack is merged with.
struct MergeContext {
  NodePool& pool;
  DataLayers& data;
  XattrFamily family;
};

/// Merges `layer`'s scanned objects under `top` with the merged tree `below`
/// (kNoNode for the lowest layer), and returns the root of the result. `top`
/// and the directories under it become part of the result: their entries are
/// replaced by the merged ones and their `lower` is set; what exists only
/// below is shared. Errors name the path of a construct that overlayfs would
/// fail on.
/// A metacopy file gets its `source`, the node with its bytes, from the tree
/// below or from `context.data`.
Result<NodeId> merge_layer(const Layer& layer, NodeId top, NodeId below,
                           const MergeContext& context);

}  // namespace ovl
