// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/catalog.h"

#include <algorithm>

namespace ovl {

StoredMapping::StoredMapping(Mapping mapping) {
  if (mapping.size() == 1)
    one_ = mapping.front();
  else if (!mapping.empty())
    many_ = std::make_unique<const Mapping>(std::move(mapping));
}

std::span<const MapRun> StoredMapping::runs() const {
  if (many_)
    return *many_;
  return {&one_, one_.count > 0 ? size_t{1} : 0};
}

Result<InodeState> Catalog::state(Ino ino) const {
  const auto at = inodes_.find(to_int(ino));
  if (at == inodes_.end())
    return InodeState{OVL_TRY(base_->inode(ino)), true, {}};
  const Entry& entry = at->second;
  return InodeState{entry.inode, entry.has_base_mapping, entry.mapping.get()};
}

InodeState Catalog::known_state(Ino ino) const {
  auto known = state(ino);
  return known ? std::move(*known) : InodeState{};
}

Result<CatalogInode> Catalog::inode(Ino ino) const {
  const auto at = inodes_.find(to_int(ino));
  return at == inodes_.end() ? base_->inode(ino) : at->second.inode;
}

Result<Mapping> Catalog::mapping(Ino ino) const {
  const auto at = inodes_.find(to_int(ino));
  if (at == inodes_.end() || at->second.has_base_mapping)
    return base_->mapping(ino);
  return at->second.mapping.get();
}

void Catalog::set(Ino ino, InodeState state) {
  forget(ino);
  if (has_mapping_of_base(ino, state)) {
    state.has_base_mapping = true;
    state.mapping.clear();
  }
  if (is_base_state(ino, state))
    return;
  const auto base_xattrs = base_xattr_block(ino);
  if (base_xattrs != 0)
    ++gone_users_[base_xattrs];
  if (!state.has_base_mapping)
    owners_.add(ino, state.mapping);
  count_xattr_user(ino, state.inode);
  inodes_.insert_or_assign(to_int(ino),
                           Entry{state.inode, state.has_base_mapping,
                                 StoredMapping(std::move(state.mapping))});
}

// It is as the base image has it.
void Catalog::forget(Ino ino) {
  const auto at = inodes_.find(to_int(ino));
  if (at == inodes_.end())
    return;
  const Entry& entry = at->second;
  if (!entry.has_base_mapping)
    owners_.remove(ino, entry.mapping.get());
  if (entry.inode.xattr_block != 0)
    xattr_users_.erase({entry.inode.xattr_block, to_int(ino)});
  const auto base_xattrs = base_xattr_block(ino);
  if (base_xattrs != 0 && --gone_users_[base_xattrs] == 0)
    gone_users_.erase(base_xattrs);
  inodes_.erase(at);
}

uint32_t Catalog::base_xattr_block(Ino ino) const {
  const ExtInode inode(base_->image().inode_bytes(ino));
  return static_cast<uint32_t>(inode.xattr_block());
}

bool Catalog::is_base_state(Ino ino, const InodeState& state) const {
  if (!state.has_base_mapping && !state.inode.is_free())
    return false;
  const auto base = base_->inode(ino);
  return base && *base == state.inode;
}

// A file whose blocks are where they were, after a detour. The base image's map
// is read only where the inode's own pointers say that it may be the same.
bool Catalog::has_mapping_of_base(Ino ino, const InodeState& state) const {
  if (state.has_base_mapping || state.inode.is_free())
    return state.has_base_mapping;
  const auto base = base_->inode(ino);
  if (!base || base->is_free() ||
      base->pointer_hash != state.inode.pointer_hash)
    return false;
  const auto mapping = base_->mapping(ino);
  return mapping && *mapping == state.mapping;
}

void Catalog::count_xattr_user(Ino ino, const CatalogInode& inode) {
  if (inode.xattr_block != 0)
    xattr_users_.insert({inode.xattr_block, to_int(ino)});
}

bool Catalog::is_as_base(Ino ino) const {
  const auto at = inodes_.find(to_int(ino));
  return at == inodes_.end() || at->second.has_base_mapping;
}

Catalog::Owner Catalog::owner_of(BlockNo first, uint64_t max) const {
  const BlockOwners::Answer here = owners_.find(first, max);
  if (here.owner)
    return {here.owner->is_map ? Use::kMap : Use::kContent, here.owner->ino,
            here.owner->file_block, here.count};
  const auto user = xattr_users_.lower_bound({key(first), 0});
  if (user != xattr_users_.end() && user->first == key(first))
    return {Use::kXattrs, {}, 0, 1};
  uint64_t count = here.count;
  if (user != xattr_users_.end())
    count = std::min<uint64_t>(count, user->first - to_int(first));
  return base_owner_of(first, count);
}

Catalog::Owner Catalog::base_owner_of(BlockNo first, uint64_t max) const {
  using Kind = Image::Owner::Kind;
  const Image::Owner owner = base_->image().owner_of(first);
  Owner out{Use::kFree, owner.ino, owner.file_block,
            std::min(owner.count, max)};
  switch (owner.kind) {
    case Kind::kFree:
      break;
    case Kind::kContent:
      out.use = is_as_base(owner.ino) ? Use::kContent : Use::kFree;
      break;
    case Kind::kJournal:
    case Kind::kMap:
      out.use = is_as_base(owner.ino) ? Use::kMap : Use::kFree;
      break;
    case Kind::kXattrs: {
      const auto gone = gone_users_.find(key(first));
      const uint32_t left =
          owner.users - (gone == gone_users_.end() ? 0 : gone->second);
      out.use = left > 0 ? Use::kXattrs : Use::kFree;
      break;
    }
    default:
      out.use = Use::kFixed;
  }
  return out;
}

std::vector<Ino> Catalog::users_of_xattrs(BlockNo block) const {
  std::vector<Ino> users;
  for (auto at = xattr_users_.lower_bound({key(block), 0});
       at != xattr_users_.end() && at->first == key(block); ++at)
    users.push_back(Ino{at->second});
  for (const Ino ino : base_->users_of_xattrs(block))
    if (!inodes_.contains(to_int(ino)))
      users.push_back(ino);
  return users;
}

Result<PackedNames> Catalog::names(BlockNo block, bool is_first) const {
  const auto at = names_.find(key(block));
  return at == names_.end() ? base_->names(block, is_first) : at->second;
}

const PackedNames* Catalog::known_names(BlockNo block) const {
  const auto at = names_.find(key(block));
  return at == names_.end() ? nullptr : &at->second;
}

void Catalog::set_names(BlockNo block, PackedNames names) {
  names_.insert_or_assign(key(block), std::move(names));
}

uint64_t Catalog::memory_bytes() const {
  constexpr uint64_t kNode = 32;  // links, a bucket, and what malloc adds
  constexpr uint64_t kSetNode = 64;
  uint64_t bytes = inodes_.size() * (sizeof(Entry) + kNode) +
                   owners_.memory_bytes() + xattr_users_.size() * kSetNode +
                   gone_users_.size() * kNode;
  for (const auto& [ino, entry] : inodes_)
    if (entry.mapping.runs().size() > 1)
      bytes += entry.mapping.runs().size_bytes() + kNode;
  for (const auto& [block, names] : names_)
    bytes += names.bytes().capacity() + sizeof(PackedNames) + kNode;
  return bytes;
}

}  // namespace ovl
