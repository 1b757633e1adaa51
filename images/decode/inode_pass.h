// SPDX-License-Identifier: BSD-3-Clause
//
// The first pass of a decode: which inodes are not as the catalog has them,
// and where are their blocks now? Every block has one owner, or the view is
// refused.
#pragma once

#include <unordered_map>
#include <vector>

#include "images/decode/block_set.h"
#include "images/decode/catalog.h"
#include "images/decode/changed_blocks.h"

namespace ovl {

struct InodeChange {
  Ino ino{};
  CatalogInode before;
  InodeState after;
  ExtInode bytes;          // after
  Mapping before_mapping;  // when is_remapped
  Mapping written;         // content that was written where it was
  bool is_remapped = false;
  bool has_moved_blocks = false;  // content was another's, or elsewhere

  /// Another object has the number.
  bool is_another() const {
    return !before.is_free() && !after.inode.is_free() &&
           id_of(ino, before) != id_of(ino, after.inode);
  }
};

/// True when the tree can show inode `ino`: not reserved, or the root.
bool is_of_tree(Ino ino);

/// How many names lead to it in a tree. The root has none.
int64_t names_of(Ino ino, const CatalogInode& inode);

class InodePass {
 public:
  /// All outlive the pass.
  InodePass(const Catalog& catalog, const BlockSource& view)
      : catalog_(catalog), view_(view) {}

  /// EUCLEAN, naming the inode, when something makes no sense.
  Status run(const ChangedBlocks& changed);

  std::vector<InodeChange>& changes() { return changes_; }
  const std::vector<InodeChange>& changes() const { return changes_; }
  /// Null when the inode is as the catalog has it.
  const InodeChange* find(Ino ino) const;
  /// As it is now.
  Result<CatalogInode> inode(Ino ino) const;

 private:
  Status take_blocks(const std::vector<Ino>& inode_blocks);
  Status take_marked(const ChangedBlocks& changed);
  Status take_users(const std::vector<BlockNo>& xattr_blocks);
  Status take(Ino ino, const ExtInode& bytes);
  Status take(Ino ino);
  Result<ExtInode> read(Ino ino) const;
  Result<bool> is_in_use(Ino ino, const ExtInode& bytes) const;
  Result<CatalogInode> describe(Ino ino, const ExtInode& bytes) const;
  Status map(InodeChange& change);
  Status check_claims(InodeChange& change);
  Status check_run(InodeChange& change, const MapRun& run);
  Status check_owner(InodeChange& change, const MapRun& run, BlockNo block,
                     const Catalog::Owner& owner) const;
  Status check_xattr_block(const InodeChange& change) const;
  Status check_users_left(BlockNo xattr_block) const;
  bool has_left(Ino ino) const;

  const Catalog& catalog_;
  const BlockSource& view_;
  const ChangedBlocks* changed_ = nullptr;
  BlockSet claims_;  // of inodes that are mapped anew
  std::vector<InodeChange> changes_;
  std::unordered_map<uint32_t, uint32_t> index_;  // inode -> into changes_
};

}  // namespace ovl
