// SPDX-License-Identifier: BSD-3-Clause
#include "images/hashed_directory.h"

#include <ext2fs/ext2fs.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "images/dir_block.h"
#include "images/htree_block.h"

namespace ovl {

namespace {

constexpr uint32_t kLeafFill = kBlockSize * 3 / 4;
constexpr uint32_t kNodeFill = kHtreeNodeEntries * 3 / 4;
constexpr uint32_t kMostLeaves = kHtreeRootEntries * kNodeFill;
// The kernel keeps the last hash as the end of a directory.
constexpr uint32_t kLastHash = 0xfffffffc;

struct HashedEntry {
  uint32_t hash;
  uint32_t index;
  auto operator<=>(const HashedEntry&) const = default;
};

uint32_t hash_of(std::string_view name, const HashSeed& seed) {
  ext2_dirhash_t hash = 0;
  ext2fs_dirhash2(EXT2_HASH_HALF_MD4_UNSIGNED, name.data(),
                  static_cast<int>(name.size()), nullptr, 0, seed.data(), &hash,
                  nullptr);
  return std::min(hash, kLastHash);
}

std::vector<HashedEntry> sort_by_hash(const NodePool& pool,
                                      std::span<const Entry> entries,
                                      const HashSeed& seed) {
  std::vector<HashedEntry> sorted;
  sorted.reserve(entries.size());
  for (uint32_t index = 0; index < entries.size(); ++index)
    sorted.push_back({hash_of(pool.name(entries[index]), seed), index});
  std::ranges::sort(sorted);
  return sorted;
}

}  // namespace

HashSeed hash_seed_of(Tree lower) {
  const NodePool& pool = lower.pool;
  const auto mix = [&pool](NodeId id, std::string_view name, uint64_t state) {
    const Node& node = pool[id];
    const uint64_t facts[] = {state, node.size,
                              static_cast<uint64_t>(node.mtime_sec),
                              node.mtime_nsec};
    return XXH3_64bits_withSeed(name.data(), name.size(),
                                XXH3_64bits(facts, sizeof facts));
  };
  uint64_t state = mix(lower.root, {}, 0);
  for (const Entry& entry : pool.entries(lower.root))
    state = mix(entry.node, pool.name(entry), state);
  const XXH128_hash_t hash = XXH3_128bits(&state, sizeof state);
  HashSeed seed;
  std::memcpy(seed.data(), &hash, sizeof hash);
  return seed;
}

std::optional<HashedDirectory> HashedDirectory::make(
    const NodePool& pool, std::span<const Entry> entries,
    const HashSeed& seed) {
  HashedDirectory directory;
  directory.order_.reserve(entries.size());
  uint32_t used = kBlockSize;
  uint32_t last_hash = 1;
  for (const auto& [hash, index] : sort_by_hash(pool, entries, seed)) {
    const uint32_t bytes = dir_entry_bytes(pool.name(entries[index]).size());
    if (used + bytes > kLeafFill) {
      const auto first = static_cast<uint32_t>(directory.order_.size());
      directory.leaves_.push_back(
          {first, hash | (hash == last_hash ? 1U : 0U)});
      used = 0;
    }
    directory.order_.push_back(index);
    used += bytes;
    last_hash = hash;
  }
  directory.leaves_.shrink_to_fit();
  if (directory.leaf_count() > kMostLeaves)
    return std::nullopt;
  return directory;
}

uint32_t HashedDirectory::nodes() const {
  if (leaf_count() <= kHtreeRootEntries)
    return 0;
  return (leaf_count() + kNodeFill - 1) / kNodeFill;
}

std::span<const uint32_t> HashedDirectory::leaf_entries(uint32_t block) const {
  const uint32_t leaf = block - first_leaf();
  const size_t first = leaves_[leaf].first;
  const size_t end =
      leaf + 1 == leaf_count() ? order_.size() : leaves_[leaf + 1].first;
  return std::span(order_).subspan(first, end - first);
}

std::vector<HashedDirectory::IndexEntry> HashedDirectory::index_entries(
    uint32_t block) const {
  const bool to_nodes = block == 0 && has_nodes();
  const uint32_t first = block == 0 ? 0 : (block - 1) * kNodeFill;
  const uint32_t end =
      block == 0 ? leaf_count() : std::min(first + kNodeFill, leaf_count());
  std::vector<IndexEntry> entries;
  for (uint32_t leaf = first; leaf < end; leaf += to_nodes ? kNodeFill : 1)
    entries.push_back({leaves_[leaf].hash,
                       to_nodes ? 1 + leaf / kNodeFill : first_leaf() + leaf});
  return entries;
}

}  // namespace ovl
