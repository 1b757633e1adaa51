// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/descriptor_cache.h"

#include <sys/resource.h>

#include <algorithm>

namespace ovl {
namespace {

constexpr size_t kLeastBudget = 64;
constexpr size_t kMostBudget = 4096;

}  // namespace

DescriptorCache::DescriptorCache(size_t limit)
    : limit_of_shard_(std::max<size_t>(1, limit / kShards)) {}

DescriptorCache::Handle DescriptorCache::find_in(Shard& shard, NodeId id) {
  const auto at = shard.by_id.find(id);
  if (at == shard.by_id.end())
    return nullptr;
  if (at->second != shard.recent.begin())
    shard.recent.splice(shard.recent.begin(), shard.recent, at->second);
  return at->second->handle;
}

DescriptorCache::Handle DescriptorCache::find(NodeId id) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  return find_in(shard, id);
}

DescriptorCache::Handle DescriptorCache::keep(NodeId id, Fd fd) {
  Kept kept{id, std::make_shared<const Fd>(std::move(fd))};
  Handle handle = kept.handle;
  Handle gone;  // declared before the lock: closed after it
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  if (Handle other = find_in(shard, id))
    return other;
  shard.recent.push_front(std::move(kept));
  shard.by_id[id] = shard.recent.begin();
  if (shard.recent.size() > limit_of_shard_) {
    gone = std::move(shard.recent.back().handle);
    shard.by_id.erase(shard.recent.back().id);
    shard.recent.pop_back();
  }
  return handle;
}

void DescriptorCache::forget(NodeId id) {
  Handle gone;  // declared before the lock: closed after it
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto at = shard.by_id.find(id);
  if (at == shard.by_id.end())
    return;
  gone = std::move(at->second->handle);
  shard.recent.erase(at->second);
  shard.by_id.erase(at);
}

void DescriptorCache::clear() {
  for (Shard& shard : shards_) {
    std::list<Kept> gone;
    const std::lock_guard lock(shard.mutex);
    shard.by_id.clear();
    gone.swap(shard.recent);
  }
}

// A quarter each for files and directories, half of one for files of upper that
// change; clients' connections and the store have the rest.
size_t descriptor_budget() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return kLeastBudget;
  return std::clamp<size_t>(limit.rlim_cur / 4, kLeastBudget, kMostBudget);
}

}  // namespace ovl
