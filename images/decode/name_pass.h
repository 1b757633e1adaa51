// SPDX-License-Identifier: BSD-3-Clause
//
// The second pass of a decode: which names lead elsewhere, and do names and
// inodes still make one tree? Directories are compared block by block, so a
// name made in a large one costs what it costs in a small one.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "images/decode/catalog.h"
#include "images/decode/inode_pass.h"
#include "images/decode/packed_names.h"

namespace ovl {

/// A name that leads elsewhere; inode 0: there was, or is, no such name.
struct ChangedName {
  Ino directory{};
  std::string name;
  Ino before{};
  Ino now{};
  uint8_t file_type = 0;  // what it says of `now`
};

class NamePass {
 public:
  /// All outlive the pass. Fills in `parent` of the directories in `inodes`.
  NamePass(const Catalog& catalog, const BlockSource& view, InodePass& inodes)
      : catalog_(catalog), view_(view), inodes_(inodes) {}

  /// EUCLEAN, naming inode and name, when they make no tree.
  Status run();

  /// Sorted by directory and name.
  const std::vector<ChangedName>& names() const { return names_; }
  /// What the catalog is to know of blocks of directories: first forget, then
  /// set.
  const std::vector<BlockNo>& gone_blocks() const { return gone_blocks_; }
  std::vector<std::pair<BlockNo, PackedNames>>& new_blocks() {
    return new_blocks_;
  }

 private:
  struct Counts {
    uint32_t added = 0;    // names that lead to the inode now
    uint32_t removed = 0;  // that led to what it was
    uint32_t subdirs_added = 0;
    uint32_t subdirs_removed = 0;
    Ino parent{};  // directory of the last added name
  };

  Status check_root() const;
  Status compare(InodeChange& change);
  Status compare_all(InodeChange& change);
  Status compare_written(InodeChange& change);
  Status compare_mapped(InodeChange& change, bool was, bool is);
  Status compare_block(InodeChange& change, uint64_t file_block, BlockNo before,
                       BlockNo now);
  Result<PackedNames> read_block(InodeChange& change, uint64_t file_block,
                                 BlockNo block);
  void add_differences(const InodeChange& change, const PackedNames& before,
                       const PackedNames& now);
  Status merge_names();
  bool is_another(Ino ino) const;
  void settle_identities();

  Status check_unique() const;
  Status check_unique_in(Ino directory,
                         const std::vector<std::string_view>& come,
                         const std::unordered_set<uint64_t>& compared) const;
  Status check_names();
  Status count_name(const ChangedName& name);
  Status check_target(const ChangedName& name) const;
  Status check_links() const;
  Status check_links_of(Ino ino) const;
  Status check_subdirectories(Ino ino, const CatalogInode& now,
                              const CatalogInode* before,
                              const Counts& counts) const;
  Result<int64_t> count_subdirectories(Ino directory) const;
  Result<Mapping> mapping_of(Ino directory) const;
  Status check_directory(const InodeChange& change) const;
  Status check_parents() const;
  Status check_way_up(Ino directory,
                      std::unordered_map<uint32_t, bool>& reaches) const;

  const Catalog& catalog_;
  const BlockSource& view_;
  InodePass& inodes_;
  std::vector<ChangedName> names_;
  std::vector<BlockNo> gone_blocks_;
  std::vector<std::pair<BlockNo, PackedNames>> new_blocks_;
  std::unordered_map<uint32_t, Counts> counts_;
  bool has_others_ = false;  // a number in use for another object
};

}  // namespace ovl
