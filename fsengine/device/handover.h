// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "fsengine/device/kept_files.h"
#include "fsengine/device/provided_blocks.h"
#include "fsengine/device/upper_files.h"
#include "fsengine/overlay/live_tree.h"
#include "fsengine/overlay/stack.h"
#include "fsengine/store/disk.h"
#include "images/decode/base_state.h"
#include "images/decode/decoder.h"

namespace ovl {

/// Which blocks of the device upper's files provide, from one checkpoint to
/// the next. The essay is in the .cc. For the thread that makes checkpoints.
class Handover {
 public:
  struct Context {
    const Stack& stack;
    const BaseState& base;
    Disk& disk;
    int upper;
    UpperFiles& files;
    KeptFiles& kept;
    ProvidedBlocks& blocks;
    std::function<void(const std::string& line)> report;
  };
  /// All that the context refers to outlives it.
  explicit Handover(const Context& context) : context_(context) {}

  /// What upper provides already: `live` has the names that the catalog has,
  /// `now` is upper over the lowers as it was found. A file that somebody else
  /// changed is told of, and cannot be read.
  Status start(const Catalog& catalog, const LiveTree& live, const Tree& now);
  /// An object of upper, as it was found.
  void know(const ObjectId& id, const Node& node);

  /// Blocks that the layout has in files of upper which will change or go are
  /// provided, or kept, before they do: durable when it returns. REQUIRES:
  /// `live` is as upper is, `decoder` has accepted `changes`.
  Status prepare(const Changes& changes, const LiveTree& live,
                 const Decoder& decoder, const DiskView& view);

  /// Around publishing, while files.quiet() is held: `catalog` has `changes`.
  /// finish() REQUIRES that `live` is as upper is then.
  Status begin(const Changes& changes, const Catalog& catalog);
  Status finish(const Changes& changes, const LiveTree& live,
                const Catalog& catalog);

  /// Files that were kept until finish() are not any more. After an error to be
  /// called again.
  Status remove_unneeded();

  /// What upper has got of `view` leaves log and store.
  Status hand_over(const Changes& changes, const LiveTree& live,
                   const Decoder& decoder, const DiskView& view);

 private:
  void find(const ObjectId& id, const CatalogInode& inode, const LiveTree& live,
            const Tree& now);
  NodeId upper_node(const ObjectId& id) const;
  bool is_uppers(const DiskView::Piece& piece, BlockNo first) const;
  bool is_kept(const ObjectId& id) const;
  Status start_kept(const Catalog& catalog);
  Result<bool> keep(const ObjectId& id, const LiveTree& live);
  Status copy(const ObjectId& id, const Catalog& catalog, const DiskView& view);
  Result<bool> copy_moved(const ObjectId& id, const Catalog& catalog,
                          const DiskView& view);
  Status provide_base(const ObjectId& id, const DiskView& view,
                      std::vector<BlockRange>& ranges);
  Status look_at(const ObjectChange& change, const LiveTree& live);
  Status resolve(const BlockRange& range, const Catalog& catalog);
  Status free_blocks_of(UpperFiles::Key file, const Catalog& catalog);
  void must_resolve(UpperFiles::Key file);
  Status find_unneeded(const Catalog& catalog);

  const Context context_;
  std::map<Ino, ObjectId> kept_;  // of what context_.kept has
  std::set<Ino> to_remove_;       // from there
  std::vector<BlockRange> to_resolve_;
};

}  // namespace ovl
