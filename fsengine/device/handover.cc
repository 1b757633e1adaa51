// SPDX-License-Identifier: BSD-3-Clause
//
// After a checkpoint upper has what the guest wrote to files, and nothing else
// needs to: the blocks are marked as provided, and their bytes leave log and
// store. From then on a block is read from the file that has it by the catalog.
//
// Invariant: a provided block is of a file that the catalog of the mark gives
// it, and upper has that file with these bytes there, or it is free in the
// guest's file system, and reads as zeros. What the log or the store has of a
// block goes before.
//
//   before the mark   a file of upper's that the layout has blocks in, and that
//                     is going to change or go: its blocks are provided from
//                     now on, by the same file; one that has lost its names
//                     while the guest has it open gets a name in kept/, and so
//                     does one that will be made anew, until that is done
//   publishing        readers go on: see upper_files.cc
//   after it          blocks of files that changed are looked up in the new
//                     catalog; what the guest has closed leaves kept/; then
//                     what is new is marked as provided
//
// Crash: the marks mean the same under the old catalog and the new one. Those
// of before count for files that the old catalog gives their blocks to; when
// the plan has changed them, the mark has the new one. What was not marked
// stays in the store, which is no harm.
//
// Blocks stay in log and store whose bytes upper has not, or not for sure: of
// directories and all else that is no file's content; of unwritten extents;
// those with a copy in the journal; the last one of a file when there is
// anything but zeros behind the end.
#include "fsengine/device/handover.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "fsengine/base/paths.h"
#include "fsengine/device/written_parts.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {
namespace {

bool is_file(const ObjectId& id) {
  return S_ISREG(id.type);
}

bool changes_bytes(const ObjectChange& change) {
  return change.kind == ObjectChange::Kind::kGone || change.content.has_value();
}

// In use without a name; or made anew, and readers need the bytes where they
// were until that is known.
bool must_be_kept(const ObjectChange& change) {
  return change.is_kept || (change.content && change.content->has_moved_blocks);
}

// Of a link: one that is immutable, or has very many names.
bool is_refused(const Error& error) {
  return error.code() == EPERM || error.code() == EMLINK ||
         error.code() == EOPNOTSUPP;
}

// May blocks that the file had be another's now, or nobody's?
bool loses_blocks(const ObjectChange& change) {
  if (change.kind == ObjectChange::Kind::kGone)
    return true;
  return change.content &&
         ((change.before && change.before->size > change.content->size) ||
          std::ranges::any_of(change.content->changed, &FileRange::is_hole));
}

Result<Stamp> stamp_of(int upper, const std::string& path) {
  const SplitPath split = split_path(path);
  const Fd dir = OVL_TRY(
      open_beneath(upper, std::string(split.dir), O_RDONLY | O_DIRECTORY));
  return stamp_at(dir.get(), std::string(split.name));
}

// What a path leads to, from the root.
NodeId node_at(const Tree& tree, std::string_view path) {
  NodeId at = tree.root;
  while (!path.empty() && at != kNoNode) {
    const size_t slash = path.find('/');
    at = tree.pool.child(at, path.substr(0, slash));
    path = slash == path.npos ? "" : path.substr(slash + 1);
  }
  return at;
}

std::vector<BlockRange> joined(std::vector<BlockRange> ranges) {
  std::ranges::sort(ranges, {}, &BlockRange::first);
  std::vector<BlockRange> out;
  for (const BlockRange& range : ranges)
    if (!out.empty() && out.back().end() == to_int(range.first))
      out.back().count += range.count;
    else
      out.push_back(range);
  return out;
}

// Calls `visit` with each piece of a range, and where it is.
template <typename Visit>
Status for_each_piece(const DiskView& view, const BlockRange& range,
                      Visit visit) {
  for (uint64_t at = to_int(range.first); at < range.end();) {
    const DiskView::Piece piece = view.piece_at(BlockNo{at}, range.end() - at);
    OVL_TRY(visit(piece, BlockRange{BlockNo{at}, piece.count}));
    at += piece.count;
  }
  return {};
}

}  // namespace

Status Handover::start(const Catalog& catalog, const LiveTree& live,
                       const Tree& now) {
  OVL_TRY(start_kept(catalog));
  const StoreMap& provided = context_.disk.store().provided();
  const uint64_t end = blocks_for(context_.disk.size());
  for (uint64_t at = 0; at < end;) {
    uint64_t count = provided.run_length(BlockNo{at}, end - at);
    if (provided.test(BlockNo{at})) {
      const Catalog::Owner owner = catalog.owner_of(BlockNo{at}, count);
      count = owner.count;
      if (owner.use == Catalog::Use::kContent) {
        const CatalogInode inode = OVL_TRY(catalog.inode(owner.ino));
        find(id_of(owner.ino, inode), inode, live, now);
      }
      OVL_TRY(resolve({BlockNo{at}, count}, catalog));
    }
    at += count;
  }
  return {};
}

Status Handover::start_kept(const Catalog& catalog) {
  OVL_TRY(context_.kept.read());
  for (const auto& [ino, stamp] : context_.kept.files()) {
    const CatalogInode inode = OVL_TRY(catalog.inode(ino));
    const ObjectId id = id_of(ino, inode);
    if (inode.is_free() || inode.has_names() || !is_file(id))
      continue;
    kept_[ino] = id;
    context_.files.set(id, stamp);
  }
  return {};
}

void Handover::find(const ObjectId& id, const CatalogInode& inode,
                    const LiveTree& live, const Tree& now) {
  const bool has_file = is_file(id) && inode.has_names();
  if (!has_file || context_.files.find(id) != kNoNode)
    return;
  const std::string path = live.path(id);
  const NodeId found = node_at(now, path);
  if (found != kNoNode) {
    const Node& node = now.pool[found];
    if (node.is_regular() && is_upper_object(now.pool, found) &&
        is_as_left({node.size, node.mtime_sec, node.mtime_nsec},
                   {inode.size, inode.mtime_sec, inode.mtime_nsec}))
      return know(id, node);
  }
  context_.report("upperdir: " + path +
                  ": changed by somebody else: what the device had in it "
                  "cannot be read until that is undone, and nbdkit started "
                  "again");
  context_.files.set(id, {});  // no file is like that
}

void Handover::know(const ObjectId& id, const Node& node) {
  if (is_file(id) && context_.files.find(id) == kNoNode)
    context_.files.set(
        id, {node.host_ino, node.size, node.mtime_sec, node.mtime_nsec, 0});
}

// The layout's node of an identity, when it is a file of upper's with bytes of
// its own.
NodeId Handover::upper_node(const ObjectId& id) const {
  const NodeId node = context_.base.image().node_of(id.ino);
  if (node == kNoNode || !is_file(id))
    return kNoNode;
  const Node& found = context_.stack.pool()[node];
  if (!context_.stack.is_upper(found) || found.source != kNoNode)
    return kNoNode;
  const auto inode = context_.base.inode(id.ino);
  return inode && id_of(id.ino, *inode) == id ? node : kNoNode;
}

// Is what the device has there in a file of upper's?
bool Handover::is_uppers(const DiskView::Piece& piece, BlockNo first) const {
  if (piece.where != DiskView::Where::kBase)
    return piece.where == DiskView::Where::kProvided;
  const Segment segment = context_.base.image().resolve(
      to_int(first) * kBlockSize, piece.count * kBlockSize);
  return segment.kind == Segment::Kind::kFile &&
         context_.stack.is_upper(context_.stack.pool()[segment.node]);
}

Status Handover::prepare(const Changes& changes, const LiveTree& live,
                         const Decoder& decoder, const DiskView& view) {
  std::vector<BlockRange> ranges;
  bool is_any_copied = false;
  for (const ObjectChange& change : changes.objects) {
    if (!is_file(change.id) || !changes_bytes(change) ||
        live.standing(change.id).ino == 0)
      continue;
    const bool is_left =
        !must_be_kept(change) || OVL_TRY(keep(change.id, live));
    OVL_TRY(is_left ? provide_base(change.id, view, ranges)
                    : copy(change.id, decoder.catalog(), view));
    is_any_copied |= !is_left;
  }
  for (const auto& [ino, id] : kept_) {
    const CatalogInode inode = OVL_TRY(decoder.catalog().inode(ino));
    const bool is_made_anew =
        !inode.is_free() && id_of(ino, inode) == id && inode.has_names();
    if (!is_made_anew)
      is_any_copied |= OVL_TRY(copy_moved(id, decoder.catalog(), view));
  }
  if (is_any_copied)
    OVL_TRY(context_.disk.flush());
  return ranges.empty()
             ? Status()
             : context_.disk.provide(view, joined(std::move(ranges)));
}

// Its bytes stay where they are. False: it can have no further name.
Result<bool> Handover::keep(const ObjectId& id, const LiveTree& live) {
  const UpperFiles::Key file = context_.files.find(id);
  const bool has_bytes =
      file != kNoNode &&
      (upper_node(id) != kNoNode || !context_.blocks.blocks_of(file).empty());
  if (!has_bytes)
    return true;
  kept_.erase(id.ino);
  to_remove_.erase(id.ino);
  const Status kept = context_.kept.add(id.ino, context_.upper, live.path(id),
                                        live.standing(id).ino);
  if (!kept && is_refused(kept.error()))
    return false;
  OVL_TRY(Status(kept));
  kept_[id.ino] = id;
  return true;
}

Status Handover::copy(const ObjectId& id, const Catalog& catalog,
                      const DiskView& view) {
  for (const MapRun& run : all_data(OVL_TRY(catalog.mapping(id.ino))))
    OVL_TRY(for_each_piece(
        view, {run.block(), run.count},
        [&](const DiskView::Piece& piece, const BlockRange& range) {
          return is_uppers(piece, range.first) ? context_.disk.keep(view, range)
                                               : Status();
        }));
  return {};
}

// The place in the file where the next start will look for a block is the one
// that the new catalog says. True when anything was copied.
Result<bool> Handover::copy_moved(const ObjectId& id, const Catalog& catalog,
                                  const DiskView& view) {
  bool is_any = false;
  const auto copy = [&](const DiskView::Piece& found, const BlockRange& part) {
    const bool is_provided = found.where == DiskView::Where::kProvided;
    is_any |= is_provided;
    return is_provided ? context_.disk.keep(view, part) : Status();
  };
  const UpperFiles::Key file = context_.files.find(id);
  for (const BlockRange& range : context_.blocks.blocks_of(file))
    for (uint64_t at = to_int(range.first); at < range.end();) {
      const auto piece = context_.blocks.piece_at(at, range.end() - at);
      const Catalog::Owner owner = catalog.owner_of(BlockNo{at}, piece.count);
      const bool has_moved =
          owner.use == Catalog::Use::kContent &&
          (owner.ino != id.ino || owner.file_block != piece.file_block);
      if (has_moved)
        OVL_TRY(for_each_piece(view, {BlockNo{at}, owner.count}, copy));
      at += owner.count;
    }
  return is_any;
}

Status Handover::provide_base(const ObjectId& id, const DiskView& view,
                              std::vector<BlockRange>& ranges) {
  const UpperFiles::Key file = context_.files.find(id);
  if (file == kNoNode || upper_node(id) == kNoNode)
    return {};
  for (const MapRun& run : all_data(OVL_TRY(context_.base.mapping(id.ino))))
    OVL_TRY(for_each_piece(
        view, {run.block(), run.count},
        [&](const DiskView::Piece& piece, const BlockRange& range) {
          if (piece.where != DiskView::Where::kBase)
            return Status();
          const uint64_t into = to_int(range.first) - run.device;
          context_.blocks.set(range, file, run.file_block + into);
          ranges.push_back(range);
          return Status();
        }));
  return {};
}

// What is gone has no place from which it could be read half way. What another
// file has taken of it finish() looks up: that file may not be known yet.
Status Handover::begin(const Changes& changes, const Catalog& catalog) {
  for (const ObjectChange& change : changes.objects) {
    if (!is_file(change.id))
      continue;
    context_.files.expect_change(change.id, changes_bytes(change));
    if (change.kind == ObjectChange::Kind::kGone && !is_kept(change.id))
      OVL_TRY(free_blocks_of(context_.files.find(change.id), catalog));
  }
  return {};
}

Status Handover::free_blocks_of(UpperFiles::Key file, const Catalog& catalog) {
  for (const BlockRange& range : context_.blocks.blocks_of(file))
    for (uint64_t at = to_int(range.first); at < range.end();) {
      const Catalog::Owner owner =
          catalog.owner_of(BlockNo{at}, range.end() - at);
      if (owner.use == Catalog::Use::kFree)
        context_.blocks.set({BlockNo{at}, owner.count}, kNoNode, 0);
      at += owner.count;
    }
  return {};
}

bool Handover::is_kept(const ObjectId& id) const {
  const auto kept = kept_.find(id.ino);
  return kept != kept_.end() && kept->second == id;
}

void Handover::must_resolve(UpperFiles::Key file) {
  const std::vector<BlockRange> blocks = context_.blocks.blocks_of(file);
  to_resolve_.insert(to_resolve_.end(), blocks.begin(), blocks.end());
}

// The files first: blocks may have gone from one to another. After an error the
// next call resolves what this one has found.
Status Handover::finish(const Changes& changes, const LiveTree& live,
                        const Catalog& catalog) {
  for (const ObjectChange& change : changes.objects) {
    if (!is_file(change.id))
      continue;
    const UpperFiles::Key before = context_.files.find(change.id);
    OVL_TRY(look_at(change, live));
    const bool is_same = context_.files.find(change.id) == before;
    if (before != kNoNode && (!is_same || loses_blocks(change)))
      must_resolve(before);
  }
  OVL_TRY(find_unneeded(catalog));
  for (const BlockRange& range : to_resolve_)
    OVL_TRY(resolve(range, catalog));
  to_resolve_.clear();
  return {};
}

// What the guest has closed, or given a name again.
Status Handover::find_unneeded(const Catalog& catalog) {
  for (const auto& [ino, stamp] : context_.kept.files()) {
    const auto known = kept_.find(ino);
    const CatalogInode inode = OVL_TRY(catalog.inode(ino));
    const bool is_it = known != kept_.end() && !inode.is_free() &&
                       known->second == id_of(ino, inode);
    if (is_it && !inode.has_names())
      continue;
    if (known != kept_.end() && !is_it) {
      must_resolve(context_.files.find(known->second));
      context_.files.forget(known->second);
    }
    if (known != kept_.end())
      kept_.erase(known);
    to_remove_.insert(ino);
  }
  return {};
}

Status Handover::remove_unneeded() {
  OVL_TRY(context_.kept.remove(to_remove_));
  to_remove_.clear();
  return {};
}

Status Handover::look_at(const ObjectChange& change, const LiveTree& live) {
  if (live.standing(change.id).ino == 0) {
    const auto& kept = context_.kept.files();
    const auto at = kept.find(change.id.ino);
    if (is_kept(change.id) && at != kept.end())
      context_.files.set(change.id, at->second);
    else
      context_.files.forget(change.id);
    return {};
  }
  const std::string path = live.path(change.id);
  const Stamp stamp =
      OVL_TRY(stamp_of(context_.upper, path).in("upperdir: " + path));
  if (stamp.ino != live.standing(change.id).ino)
    return fail(ESTALE, "upperdir: " + path + ": changed by somebody else");
  context_.files.set(change.id, stamp);
  return {};
}

Status Handover::resolve(const BlockRange& range, const Catalog& catalog) {
  for (uint64_t at = to_int(range.first); at < range.end();) {
    const Catalog::Owner owner =
        catalog.owner_of(BlockNo{at}, range.end() - at);
    UpperFiles::Key file = kNoNode;
    if (owner.use == Catalog::Use::kContent)
      file = context_.files.find(
          id_of(owner.ino, OVL_TRY(catalog.inode(owner.ino))));
    context_.blocks.set({BlockNo{at}, owner.count}, file, owner.file_block);
    at += owner.count;
  }
  return {};
}

Status Handover::hand_over(const Changes& changes, const LiveTree& live,
                           const Decoder& decoder, const DiskView& view) {
  std::vector<BlockRange> ranges;
  for (const ObjectChange& change : changes.objects) {
    const UpperFiles::Key file = context_.files.find(change.id);
    if (file == kNoNode || !change.content ||
        change.kind == ObjectChange::Kind::kGone ||
        live.standing(change.id).ino == 0)
      continue;
    for (const FilePart& part : OVL_TRY(written_parts(change, decoder, view))) {
      context_.blocks.set(part.blocks, file, part.file_block);
      ranges.push_back(part.blocks);
    }
  }
  if (ranges.empty())
    return {};
  return context_.disk.provide(view, joined(std::move(ranges)));
}

}  // namespace ovl
