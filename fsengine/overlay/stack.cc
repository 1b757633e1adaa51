// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/stack.h"

#include <cerrno>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/dir_layer.h"
#include "fsengine/overlay/merge.h"
#include "fsengine/overlay/scan.h"

namespace ovl {

Result<NodeId> Stack::add(uint16_t index, NodeId below, XattrFamily family) {
  const Layer& layer = *layers_[index];
  const ScanResult scan = OVL_TRY(scan_layer(layer, index, family, pool_));
  has_unreadable_ |= scan.has_unreadable;
  for (const std::string& path : scan.mount_points)
    mounts_.push_back((index == 0 ? "upperdir: " : "lowerdir: ") +
                      join_path(layer.name(), path));
  return merge_layer(layer, scan.root, below, {pool_, data_, family});
}

// What is hidden may be unreadable; what is shown may not silently be empty.
Status Stack::refuse_visible_unreadable() const {
  std::vector<NodeId> walk{merged_root_};
  while (!walk.empty()) {
    const Node& directory = pool_[walk.back()];
    walk.pop_back();
    for (const Node* part = &directory;; part = &pool_[part->lower]) {
      if (part->marks & kMarkUnreadable)
        return fail(EACCES, (part->layer == 0 ? "upperdir: " : "lowerdir: ") +
                                join_path(layer(part->layer).name(),
                                          host_path(pool_, *part)) +
                                ": directory may not be read");
      if (part->lower == kNoNode)
        break;
    }
    for (const Entry& entry : pool_.entries(directory))
      if (pool_[entry.node].is_dir())
        walk.push_back(entry.node);
  }
  return {};
}

Status Stack::open_layer(LayerRole role, const std::string& path) {
  auto layer = OVL_TRY(DirLayer::open(path).in(parameter_of(role)));
  const RootIdentity root =
      OVL_TRY(identify_root(*layer).in(parameter_of(role)));
  records_.push_back({role, path, root});
  if (role == LayerRole::kUpper)
    layers_[0] = std::move(layer);
  else
    layers_.push_back(std::move(layer));
  return {};
}

Status Stack::open_layers(const StackOptions& options) {
  layers_.resize(1);
  if (options.upper)
    OVL_TRY(open_layer(LayerRole::kUpper, *options.upper));
  for (const std::string& path : options.lowers)
    OVL_TRY(open_layer(LayerRole::kLower, path));
  for (const std::string& path : options.data_only)
    OVL_TRY(open_layer(LayerRole::kDataOnly, path));
  return {};
}

Result<std::unique_ptr<Stack>> Stack::open(const StackOptions& options) {
  std::unique_ptr<Stack> stack(new Stack());
  OVL_TRY(stack->open_layers(options));
  for (size_t i = 0; i < options.data_only.size(); ++i) {
    const size_t index = options.lowers.size() + 1 + i;
    stack->data_.add(*stack->layers_[index], static_cast<uint16_t>(index));
  }

  NodeId root = kNoNode;
  for (size_t i = options.lowers.size(); i > 0; --i)
    root = OVL_TRY(stack->add(static_cast<uint16_t>(i), root, options.family)
                       .in("lowerdir"));
  stack->lower_root_ = root;
  if (options.upper)
    root = OVL_TRY(stack->add(0, root, options.family).in("upperdir"));
  stack->merged_root_ = root;
  stack->scanned_nodes_ = stack->pool_.size();
  if (stack->has_unreadable_)
    OVL_TRY(stack->refuse_visible_unreadable());
  return stack;
}

Result<Tree> Stack::merge_upper_now(XattrFamily family) {
  return Tree{pool_, OVL_TRY(add(0, lower_root_, family).in("upperdir"))};
}

Result<std::unique_ptr<Stack>> Stack::restore(SavedStack saved) {
  std::unique_ptr<Stack> stack(new Stack());
  stack->layers_.resize(1);
  for (const LayerRecord& kept : saved.layers) {
    OVL_TRY(stack->open_layer(kept.role, kept.path));
    OVL_TRY(check_root(kept, stack->records_.back()));
  }
  stack->records_ = std::move(saved.layers);
  stack->pool_ = std::move(saved.trees.pool);
  stack->lower_root_ = saved.trees.lower_root;
  stack->merged_root_ = saved.trees.merged_root;
  stack->scanned_nodes_ = stack->pool_.size();
  return stack;
}

}  // namespace ovl
