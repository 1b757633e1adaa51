// SPDX-License-Identifier: BSD-3-Clause
//
// The trees of the layers to bytes and back (FORMAT.md, "The layout"): what
// was read has the same ids as what was written, of nodes, strings, attribute
// sets and hole maps.
#pragma once

#include <cstdint>

#include "fsengine/base/checked_file.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"

namespace ovl {

/// The first `nodes` nodes of a pool, and two trees in them.
struct PoolPart {
  const NodePool& pool;
  uint32_t nodes = 0;
  NodeId lower_root = kNoNode;
  NodeId merged_root = kNoNode;
};

/// REQUIRES: the nodes are of layers, refer to none behind them, and nobody
/// adds to the pool meanwhile.
Status write_trees(CheckedWriter& out, const PoolPart& part);

struct PooledTrees {
  NodePool pool;
  NodeId lower_root = kNoNode;
  NodeId merged_root = kNoNode;
};

/// Whatever the bytes: EUCLEAN, or trees that are safe to use, for they keep
/// the promises of tree.h and check_pool, and have no layer from `layers` on.
Result<PooledTrees> read_trees(CheckedReader& in, uint32_t layers);

}  // namespace ovl
