// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint is one state of the guest's, so what does not fit into upper
// holds all of it back; and where the guest has deleted what takes the room,
// it would for good. Then the deletions become a checkpoint of their own, of a
// state that the guest never had: the one that upper shows without them.
//
// It has the last position but one of the log, so that the whole state, at the
// last one, is still to come.
//
// Invariant: a path that leads somewhere before and after does so between:
// what another object took the place of stays until that one is there.
//
// Invariant: nothing is deleted that the device needs. A block that another
// file took over as it is, without a write (as defragmentation does), has its
// bytes in upper's file, which stays; one that was written since has them in
// log or store.
//
// Crash: as that of any checkpoint; the next one begins at the catalog of the
// state between.
#include "fsengine/device/deletions_ahead.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "images/decode/deletions.h"
#include "images/decode/inode_pass.h"

namespace ovl {
namespace {

bool is_written(const DiskView& view, BlockNo first, uint64_t count) {
  for (uint64_t at = to_int(first), end = at + count; at < end;) {
    const DiskView::Piece piece = view.piece_at(BlockNo{at}, end - at);
    if (piece.where != DiskView::Where::kLog &&
        piece.where != DiskView::Where::kStore)
      return false;
    at += piece.count;
  }
  return true;
}

// What the guest put in the place of an object, perhaps by way of a directory.
// Each directory is looked up once: a guest chooses how deep they are.
class Successors {
 public:
  explicit Successors(const LiveDelta& names) : names_(names) {
    found_[names.tree().root()] = names.tree().root();
  }

  // Does a path of the object lead somewhere now?
  bool has(const ObjectId& id) {
    return std::ranges::any_of(
        names_.tree().names(id), [this](const LiveTree::Name& name) {
          const auto directory = of_directory(name.directory);
          return directory && names_.child({*directory, name.name});
        });
  }

 private:
  using Found = std::optional<ObjectId>;

  Found of_directory(const ObjectId& directory) {
    std::vector<LiveTree::Name> way;
    ObjectId at = directory;
    for (; !found_.contains(at); at = way.back().directory) {
      const auto names = names_.tree().names(at);
      if (names.empty())
        return std::nullopt;
      way.push_back(names.front());
    }
    Found found = found_[at];
    for (; !way.empty(); way.pop_back()) {
      const LiveTree::Name& name = way.back();
      if (const auto below = names_.tree().child(name.directory, name.name)) {
        found = found ? names_.child({*found, name.name}) : Found();
        found_[*below] = found;
      }
    }
    return found;
  }

  const LiveDelta& names_;
  std::map<ObjectId, Found> found_;
};

// No block that is in use now is read from the file.
Result<bool> is_unneeded(Ino ino, const Catalog& before, const Catalog& now,
                         const DiskView& view) {
  for (const MapRun& run : all_data(OVL_TRY(before.mapping(ino)))) {
    const uint64_t end = uint64_t{run.device} + run.count;
    for (uint64_t at = run.device; at < end;) {
      const Catalog::Owner owner = now.owner_of(BlockNo{at}, end - at);
      if (owner.use != Catalog::Use::kFree &&
          !is_written(view, BlockNo{at}, owner.count))
        return false;
      at += owner.count;
    }
  }
  return true;
}

// Files without names that the guest has closed.
Result<std::vector<Ino>> find_closed(const CatalogDelta& delta,
                                     const Catalog& before, const Catalog& now,
                                     const DiskView& view) {
  std::vector<Ino> closed;
  for (const Ino ino : delta.inodes) {
    const CatalogInode was = OVL_TRY(before.inode(ino));
    const bool has_no_name =
        is_of_tree(ino) && was.is_regular() && !was.has_names();
    if (!has_no_name)
      continue;
    const CatalogInode is = OVL_TRY(now.inode(ino));
    const bool is_gone = is.is_free() || id_of(ino, is) != id_of(ino, was);
    if (is_gone && OVL_TRY(is_unneeded(ino, before, now, view)))
      closed.push_back(ino);
  }
  return closed;
}

}  // namespace

Result<DeletionsAhead> find_deletions(Catalog before, const LiveDelta& names,
                                      const CatalogDelta& delta,
                                      const Decoder& decoder,
                                      const DiskView& view) {
  const Catalog& now = decoder.catalog();
  Successors successors(names);
  const auto can_go = [&](const ObjectId& id) -> Result<bool> {
    if (successors.has(id))
      return false;
    return S_ISREG(id.type) ? is_unneeded(id.ino, before, now, view) : true;
  };
  Changes deletions = OVL_TRY(deletions_in(names.changes(), can_go));
  const std::vector<Ino> closed =
      OVL_TRY(find_closed(delta, before, now, view));
  CatalogDelta taken = OVL_TRY(take_out(before, deletions, closed));
  return DeletionsAhead{std::move(deletions), std::move(before),
                        std::move(taken)};
}

bool is_lack_of_room(const Error& error) {
  return error.code() == ENOSPC || error.code() == EDQUOT ||
         error.code() == EFBIG || error.code() == EMLINK;
}

}  // namespace ovl
