// SPDX-License-Identifier: BSD-3-Clause
//
// What of a guest's file system differed from the base image when it was
// decoded last: inodes, mappings and names, and the owner of each block of
// theirs. Whatever is not in it is as the base image has it. At most 200 bytes
// an object. For one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "images/decode/base_state.h"
#include "images/decode/block_owners.h"
#include "images/decode/catalog_inode.h"
#include "images/decode/mapping.h"
#include "images/decode/packed_names.h"

namespace ovl {

/// A mapping of one run, which most are, takes no memory of its own.
class StoredMapping {
 public:
  StoredMapping() = default;
  explicit StoredMapping(Mapping mapping);
  std::span<const MapRun> runs() const;
  Mapping get() const { return {runs().begin(), runs().end()}; }

 private:
  MapRun one_{};  // count 0: none
  std::unique_ptr<const Mapping> many_;
};

/// An inode and where its blocks are.
struct InodeState {
  CatalogInode inode;
  bool has_base_mapping = false;  // `mapping` is empty, and the image's counts
  Mapping mapping;
};

class Catalog {
 public:
  /// Nothing differs. `base` outlives it.
  explicit Catalog(const BaseState& base) : base_(&base) {}

  const BaseState& base() const { return *base_; }

  /// What inode `ino` is, from here or from the base image; the mapping only
  /// where it is not the base image's.
  Result<InodeState> state(Ino ino) const;
  Result<CatalogInode> inode(Ino ino) const;
  /// The same with the mapping in any case.
  Result<Mapping> mapping(Ino ino) const;
  /// What is as the base image has it takes no memory.
  void set(Ino ino, InodeState state);
  /// The same as state(). REQUIRES: set(ino) was called.
  InodeState known_state(Ino ino) const;

  /// Who has the blocks from `first` on: an inode of the tree or a kept one.
  enum class Use { kFree, kContent, kMap, kXattrs, kFixed };  // kFixed: of ext2
  struct Owner {
    Use use = Use::kFree;
    Ino ino{};  // kContent, kMap
    uint32_t file_block = 0;
    uint64_t count = 0;
  };
  Owner owner_of(BlockNo first, uint64_t max) const;

  /// The inodes that share an attribute block.
  std::vector<Ino> users_of_xattrs(BlockNo block) const;

  /// The names in a block of a directory. REQUIRES: it is one's.
  Result<PackedNames> names(BlockNo block, bool is_first) const;
  void set_names(BlockNo block, PackedNames names);
  /// Null when nothing was set.
  const PackedNames* known_names(BlockNo block) const;
  void forget_names(BlockNo block) { names_.erase(key(block)); }

  /// For writing the catalog down.
  template <typename Visit>
  void for_each_inode(Visit visit) const {
    for (const auto& [ino, entry] : inodes_)
      visit(Ino{ino}, entry.inode, entry.has_base_mapping,
            entry.mapping.runs());
  }
  template <typename Visit>
  void for_each_block_of_names(Visit visit) const {
    for (const auto& [block, names] : names_)
      visit(BlockNo{block}, names);
  }
  size_t inode_count() const { return inodes_.size(); }
  uint64_t memory_bytes() const;

 private:
  struct Entry {
    CatalogInode inode;
    bool has_base_mapping = false;
    StoredMapping mapping;
  };

  static uint32_t key(BlockNo block) {
    return static_cast<uint32_t>(to_int(block));
  }
  bool is_as_base(Ino ino) const;
  bool is_base_state(Ino ino, const InodeState& state) const;
  bool has_mapping_of_base(Ino ino, const InodeState& state) const;
  uint32_t base_xattr_block(Ino ino) const;
  void forget(Ino ino);
  void count_xattr_user(Ino ino, const CatalogInode& inode);
  Owner base_owner_of(BlockNo first, uint64_t max) const;

  const BaseState* base_;
  std::unordered_map<uint32_t, Entry> inodes_;
  BlockOwners owners_;
  std::unordered_map<uint32_t, PackedNames> names_;  // by block
  // Attribute blocks and the inodes here that use them; and how many inodes of
  // the base image use one of its blocks no more.
  std::set<std::pair<uint32_t, uint32_t>> xattr_users_;
  std::unordered_map<uint32_t, uint32_t> gone_users_;
};

}  // namespace ovl
