// SPDX-License-Identifier: BSD-3-Clause
#include "images/fingerprint.h"

#include <xxhash.h>

#include <cstring>
#include <memory>

#include "images/dir_block.h"

namespace ovl {

namespace {

// Part of every hash: raised when the bytes of an image change for the same
// tree, so that nothing made for the old bytes is taken for the new ones.
constexpr uint64_t kImageFormat = 2;

// All members are as wide as to leave no padding, which would be hashed too.
struct ContentRecord {
  uint64_t size;
  int64_t mtime_sec;
  uint64_t special;  // of the type: hole map, target, device, entries
  uint64_t xattrs;
  uint32_t mtime_nsec;
  uint32_t uid;
  uint32_t gid;
  uint32_t mode;
  uint32_t slot;
  uint32_t position;
};
static_assert(sizeof(ContentRecord) == 56);

struct BindingRecord {
  uint64_t host_ino;
  uint32_t links;
  uint32_t ino;
  uint32_t parent;
  uint16_t layer;
  uint8_t origin;
  uint8_t content_changed;
};
static_assert(sizeof(BindingRecord) == 24);

struct NameRecord {
  uint32_t slot;
  uint32_t bytes;
  char name[kMaxNameBytes + 1];
};

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

class Hasher {
 public:
  Hasher() : state_(XXH3_createState()) {
    XXH3_128bits_reset_withSeed(state_.get(), kImageFormat);
  }
  void add(const void* data, size_t bytes) {
    XXH3_128bits_update(state_.get(), data, bytes);
  }
  template <typename T>
  void add(const T& value) {
    add(&value, sizeof value);
  }
  std::array<uint64_t, 2> digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.low64, hash.high64};
  }

 private:
  std::unique_ptr<XXH3_state_t, FreeState> state_;
};

class LayoutHasher {
 public:
  explicit LayoutHasher(const Layout& layout)
      : layout_(layout), pool_(layout.pool()) {
    content_.add(layout.type());
  }

  LayoutDigest digest();

 private:
  void add_content(uint32_t slot);
  void add_names(const Node& directory);
  void add_binding(uint32_t slot);
  uint64_t source_of(const Node& node) const;
  uint64_t special_of(const Node& node) const;

  const Layout& layout_;
  const NodePool& pool_;
  Hasher content_;
  Hasher bindings_;
};

LayoutDigest LayoutHasher::digest() {
  LayoutDigest result;
  const auto slots = static_cast<uint32_t>(layout_.slots().size());
  for (uint32_t slot = 0; slot < slots; ++slot) {
    if (slot == layout_.lower().slots_end)
      result.lower = content_.digest();
    add_content(slot);
    add_binding(slot);
  }
  if (slots == layout_.lower().slots_end)
    result.lower = content_.digest();
  content_.add(bindings_.digest());
  result.all = content_.digest();
  return result;
}

void LayoutHasher::add_content(uint32_t slot) {
  const Slot& place = layout_.slot(slot);
  const Node& node = layout_.node(slot);
  const bool has_xattrs = node.xattrs != XattrsId{};
  content_.add(ContentRecord{
      node.size, node.mtime_sec, special_of(node),
      has_xattrs ? XattrSetHash()(pool_.xattrs.get(node.xattrs)) : 0,
      node.mtime_nsec, node.uid, node.gid,
      node.mode | uint32_t{node.flags} << 16, slot, place.position});
  if (node.is_dir())
    add_names(node);
}

void LayoutHasher::add_names(const Node& directory) {
  for (const Entry& entry : pool_.entries(directory)) {
    const auto name = pool_.name(entry);
    NameRecord record;
    record.slot = layout_.slot_of(entry.node);
    record.bytes = static_cast<uint32_t>(name.size());
    std::memcpy(record.name, name.data(), name.size());
    content_.add(&record, offsetof(NameRecord, name) + name.size());
  }
}

void LayoutHasher::add_binding(uint32_t slot) {
  const Slot& place = layout_.slot(slot);
  const Node& node = layout_.node(slot);
  const bool directory = node.is_dir();
  bindings_.add(
      BindingRecord{node.host_ino, place.links, to_int(place.ino),
                    directory ? to_int(layout_.directory(slot).parent) : 0,
                    node.layer, static_cast<uint8_t>(node.origin),
                    static_cast<uint8_t>(node.content_changed ? 1 : 0)});
}

// Which other file the bytes come from.
uint64_t LayoutHasher::source_of(const Node& node) const {
  if (node.source == kNoNode)
    return 0;
  const Node& source = pool_[node.source];
  const uint64_t identity[] = {source.host_ino, source.size,
                               static_cast<uint64_t>(source.mtime_sec),
                               source.mtime_nsec, source.layer};
  return XXH3_64bits(identity, sizeof identity);
}

uint64_t LayoutHasher::special_of(const Node& node) const {
  if (node.is_regular())
    return (node.holes == HoleMapId{}
                ? 0
                : HoleMapHash()(pool_.hole_maps.get(node.holes))) ^
           source_of(node);
  if (node.is_symlink()) {
    const auto target = pool_.strings.get(node.target);
    return XXH3_64bits(target.data(), target.size());
  }
  if (node.is_device())
    return node.rdev.packed;
  return node.entry_count;
}

}  // namespace

LayoutDigest digest_layout(const Layout& layout) {
  return LayoutHasher(layout).digest();
}

Identity make_identity(const LayoutDigest& digest, const HashSeed& hash_seed,
                       const ImageOptions& options) {
  Identity identity;
  identity.label = options.label;
  std::memcpy(identity.uuid.data(), digest.lower.data(), identity.uuid.size());
  // Version 8 and variant of RFC 9562: a UUID made as its maker likes.
  identity.uuid[6] = static_cast<uint8_t>((identity.uuid[6] & 0x0f) | 0x80);
  identity.uuid[8] = static_cast<uint8_t>((identity.uuid[8] & 0x3f) | 0x80);
  if (options.uuid)
    identity.uuid = *options.uuid;
  const XXH128_hash_t seed = XXH3_128bits_withSeed(
      digest.lower.data(), sizeof digest.lower, kImageFormat);
  identity.generation_seed = static_cast<uint32_t>(seed.low64);
  identity.hash_seed = hash_seed;
  return identity;
}

uint64_t fingerprint_of(const LayoutDigest& digest, const Geometry& geometry,
                        const Identity& identity, bool journal) {
  Hasher hasher;
  hasher.add(digest.all);
  hasher.add(geometry.device_blocks());
  hasher.add(geometry.shape());
  hasher.add(identity.uuid);
  hasher.add(identity.hash_seed);
  hasher.add(identity.label.data(), identity.label.size());
  hasher.add(uint32_t{journal});
  return hasher.digest()[0];
}

}  // namespace ovl
