// SPDX-License-Identifier: BSD-3-Clause
//
// A directory with an index by hash (an htree), for those that a search from
// block to block would make slow. Its blocks:
//
//   [root] [nodes ...] [leaves ...]
//
// Leaves are ordinary directory blocks, of entries in the order of the hashes
// of their names, filled to three quarters so that names can be added. The
// root, which begins with "." and "..", points to the leaves, or, when they
// are too many for it, to nodes that do. To readers that ignore the index,
// root and nodes look like blocks with hardly an entry.
//
// Kept are the order of the entries and where each leaf begins; everything
// else is arithmetic.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "fsengine/base/tree.h"

namespace ovl {

/// s_hash_seed of the superblock, in the order of the CPU.
using HashSeed = std::array<uint32_t, 4>;

/// The seed of the file systems made from a lower tree: it follows from the
/// root's children. Cheap, because it must be known before the layout is.
HashSeed hash_seed_of(Tree lower);

class HashedDirectory {
 public:
  /// Directories of more linear blocks than this are to have an index.
  static constexpr uint32_t kMostLinearBlocks = 8;

  /// Nothing when the leaves are too many for two levels of index.
  /// REQUIRES: no name is longer than kMaxNameBytes.
  static std::optional<HashedDirectory> make(const NodePool& pool,
                                             std::span<const Entry> entries,
                                             const HashSeed& seed);

  uint32_t blocks() const { return first_leaf() + leaf_count(); }
  uint32_t first_leaf() const { return 1 + nodes(); }
  bool has_nodes() const { return nodes() > 0; }

  /// The entries in leaf block `block`, as indices into the directory.
  std::span<const uint32_t> leaf_entries(uint32_t block) const;

  /// What index block `block` points to: blocks of the directory, each with
  /// the least hash in it or beneath it.
  struct IndexEntry {
    uint32_t hash = 0;
    uint32_t block = 0;
  };
  std::vector<IndexEntry> index_entries(uint32_t block) const;

 private:
  struct Leaf {
    uint32_t first = 0;  // into order_
    uint32_t hash = 0;   // odd: the leaf before has names of this hash, too
  };

  HashedDirectory() = default;
  uint32_t leaf_count() const { return static_cast<uint32_t>(leaves_.size()); }
  uint32_t nodes() const;

  std::vector<uint32_t> order_;
  std::vector<Leaf> leaves_;
};

}  // namespace ovl
