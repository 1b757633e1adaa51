// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/layer.h"

namespace ovl {

/// Layers that show no names: only the absolute redirect of a metacopy file
/// leads into them (`lowerdir=A::DATA`). The layers and the pool outlive it.
class DataLayers {
 public:
  explicit DataLayers(NodePool& pool) : pool_(pool) {}

  /// Topmost first.
  void add(const Layer& layer, uint16_t index);

  /// A node for the regular file at `path` in the topmost layer that has one,
  /// or kNoNode.
  Result<NodeId> find(std::string_view path);

 private:
  struct DataLayer {
    const Layer& layer;
    uint16_t index;
    NodeId root;
  };

  NodePool& pool_;
  std::vector<DataLayer> layers_;
};

}  // namespace ovl
