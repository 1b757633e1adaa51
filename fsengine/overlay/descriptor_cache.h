// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "fsengine/base/fd.h"
#include "fsengine/base/tree.h"

namespace ovl {

/// Open descriptors by node, those that were used last, up to a limit. One
/// that had to give way is closed when nobody holds it any more. Safe for
/// concurrent use; nothing is opened or closed under a lock.
class DescriptorCache {
 public:
  using Handle = std::shared_ptr<const Fd>;

  explicit DescriptorCache(size_t limit);

  /// The descriptor of `id`, which is the last used one now, or null.
  Handle find(NodeId id);

  /// Keeps `fd` for `id`, unless there is one already, and returns what is
  /// kept.
  Handle keep(NodeId id, Fd fd);

  /// Lets the one of `id` go, if it is there.
  void forget(NodeId id);

  /// Lets all of them go.
  void clear();

 private:
  struct Kept {
    NodeId id;
    Handle handle;
  };
  struct Shard {
    std::mutex mutex;
    std::list<Kept> recent;  // most recently used first
    std::unordered_map<NodeId, std::list<Kept>::iterator> by_id;
  };

  static constexpr size_t kShards = 16;

  Shard& shard_of(NodeId id) { return shards_[to_int(id) % kShards]; }
  static Handle find_in(Shard& shard, NodeId id);

  const size_t limit_of_shard_;
  Shard shards_[kShards];
};

/// How many descriptors a cache of ours may take: a part of what this process
/// may open, within reason.
size_t descriptor_budget();

}  // namespace ovl
