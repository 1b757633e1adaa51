// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/stack.h"

#include "fsengine/overlay/dir_layer.h"
#include "fsengine/overlay/merge.h"
#include "fsengine/overlay/scan.h"

namespace ovl {

Result<NodeId> Stack::add(uint16_t index, NodeId below, XattrFamily family) {
  const Layer& layer = *layers_[index];
  const NodeId top = OVL_TRY(scan_layer(layer, index, family, pool_));
  return merge_layer(layer, top, below, family, pool_);
}

Result<std::unique_ptr<Stack>> Stack::open(const StackOptions& options) {
  std::unique_ptr<Stack> stack(new Stack());
  auto& layers = stack->layers_;
  layers.resize(options.lowers.size() + 1);
  for (size_t i = 0; i < options.lowers.size(); ++i)
    layers[i + 1] = OVL_TRY(DirLayer::open(options.lowers[i]).in("lowerdir"));
  if (options.upper)
    layers[0] = OVL_TRY(DirLayer::open(*options.upper).in("upperdir"));

  NodeId root = kNoNode;
  for (size_t i = options.lowers.size(); i > 0; --i)
    root = OVL_TRY(stack->add(static_cast<uint16_t>(i), root, options.family)
                       .in("lowerdir"));
  stack->lower_root_ = root;
  if (options.upper)
    root = OVL_TRY(stack->add(0, root, options.family).in("upperdir"));
  stack->merged_root_ = root;
  return stack;
}

}  // namespace ovl
