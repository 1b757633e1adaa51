// SPDX-License-Identifier: BSD-3-Clause
//
// A guest changes one byte of a file of 100 GiB that a lower has. A checkpoint
// is a state as a whole, so this one, and all that the guest does meanwhile,
// cannot be in upper before the copy is. But the copy needs nothing of the
// guest's state, for it is the lower's bytes at the lower's offsets. So it is
// made outside of any checkpoint:
//
//   sealed -> decoded -> planned -> a copy lacks something?
//       no:   accepted, staged with the copies that there are, published
//       yes:  the decode is dropped, and the view; a slice is copied,
//             durably; the next attempt decodes what the guest has by then
//
// So a view is held for the time of a decode, and the log is folded while the
// copy is made; requests never wait, but for a FLUSH under checkpoint=sync,
// which has asked for that. Between slices it is seen whether the worker is to
// stop, and whether the file still needs the copy: one that was deleted,
// truncated or overwritten meanwhile is staged at once. Rejected: to publish
// other files before it, which would be a state that the guest never had; and
// to copy while a view is held, which would keep all that the guest writes for
// an hour in the log.
//
// What is given to a file is told by its blocks when it is staged, and not by
// what was found before: of the copy remain bytes whose block of the device
// nobody wrote and whose place in the file is that in the lower's file; all
// else is written over it, or made a hole. So a guest may rename, truncate and
// move blocks as it likes between the attempts.
//
// Copies live until a checkpoint succeeds, for then nothing needs them: each
// that was given is in upper, and the others were for what is gone.
#include "fsengine/device/copies_ahead.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "fsengine/base/units.h"
#include "fsengine/device/staging.h"
#include "fsengine/overlay/empty_directory.h"

namespace ovl {
namespace {

const char* const kCopies = "copies";
const char* const kCopiesPath = "workdir: ovl/copies";

// Not open: there are none.
Result<Fd> open_copies(int state_dir) {
  Fd fd(::openat(state_dir, kCopies,
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open() && errno != ENOENT)
    return last_error("open");
  return fd;
}

Result<Fd> make_copies(Os& os, int state_dir) {
  auto made = os.make_dir({state_dir, kCopies}, 0700);
  if (!made && made.error().code() != EEXIST)
    return tl::unexpected(made.error());
  OVL_TRY(os.fsync(state_dir));
  return open_copies(state_dir);
}

// What of a file's data is as it was before.
std::vector<DataRun> unchanged(const std::vector<DataRun>& runs,
                               const std::vector<FileRange>& changed) {
  std::vector<DataRun> left;
  auto range = changed.begin();
  for (const DataRun& run : runs) {
    const uint64_t end = uint64_t{run.first_block} + run.blocks;
    for (uint64_t at = run.first_block; at < end;) {
      while (range != changed.end() && range->first + range->count <= at)
        ++range;
      const bool is_changed = range != changed.end() && range->first <= at;
      uint64_t until = end;
      if (range != changed.end())
        until = std::min(
            end, range->first + (is_changed ? range->count : uint64_t{0}));
      if (!is_changed)
        left.push_back(
            {static_cast<uint32_t>(at), static_cast<uint32_t>(until - at)});
      at = until;
    }
  }
  return left;
}

std::vector<FileRange> changed_ranges(const Changes& changes,
                                      const ObjectId& id) {
  for (const ObjectChange& change : changes.objects)
    if (change.id == id && change.content)
      return change.content->changed;
  return {};
}

// What of a range a copy has.
void add_had(const LowerCopy& copy, ByteRange range,
             std::vector<ByteRange>& has) {
  while (range.begin < range.end) {
    const uint64_t chunk = range.begin / kCopyChunk;
    const uint64_t end = std::min(range.end, (chunk + 1) * kCopyChunk);
    if (copy.has(chunk) && !has.empty() && has.back().end == range.begin)
      has.back().end = end;
    else if (copy.has(chunk))
      has.push_back({range.begin, end});
    range.begin = end;
  }
}

}  // namespace

Status CopiesAhead::begin() {
  if (is_begun_)
    return {};
  copies_.clear();
  const Fd copies = OVL_TRY(open_copies(context_.state_dir).in(kCopiesPath));
  if (copies.is_open()) {
    const Fd staging = OVL_TRY(open_staging(context_.os, context_.state_dir));
    OVL_TRY(
        empty_directory(context_.os, staging.get()).in("workdir: ovl/staging"));
    OVL_TRY(LowerCopy::sweep(context_.os, copies.get()).in(kCopiesPath));
  }
  is_begun_ = true;
  return {};
}

Result<bool> CopiesAhead::find_lacking(const LivePlan& plan,
                                       const NodePool& pool,
                                       const Changes& changes) {
  lacking_ = {};
  for (const LivePlan::Placed& placed : plan.placed) {
    const bool is_made =
        placed.standing.ino == 0 && pool[placed.node].is_regular();
    const NodeId file = is_made ? large_file_of(placed.id.ino) : kNoNode;
    if (file == kNoNode)
      continue;
    OVL_TRY(find_lacking_of(file, placed.id.ino,
                            unchanged(data_runs(pool, pool[placed.node]),
                                      changed_ranges(changes, placed.id))));
    if (!lacking_.chunks.empty())
      return true;
  }
  return false;
}

// The lower's file that the layout has under that number, when it is one that
// may need a copy ahead.
NodeId CopiesAhead::large_file_of(Ino ino) const {
  const NodeId node = context_.image.node_of(ino);
  if (node == kNoNode || !context_.stack.pool()[node].is_regular())
    return kNoNode;
  const NodeId file = context_.layers.data_of(node);
  const Node& found = context_.stack.pool()[file];
  const bool may_need = !context_.stack.is_upper(found) &&
                        found.size > context_.rules.more_than &&
                        !sharing_.contains(found.layer);
  return may_need ? file : kNoNode;
}

// Calls `visit` with each range of guest's file `ino` that is still that of
// `file`, at its place.
template <typename Visit>
void CopiesAhead::for_each_part(NodeId file, Ino ino,
                                const std::vector<DataRun>& runs, Visit visit) {
  for (const DataRun& run : runs) {
    uint64_t at = uint64_t{run.first_block} * kBlockSize;
    const uint64_t end = at + uint64_t{run.blocks} * kBlockSize;
    while (at < end) {
      const LowerParts::Part part = context_.parts.at(ino, at, end);
      if (part.node != kNoNode && part.offset == at &&
          context_.layers.data_of(part.node) == file)
        visit(ByteRange{at, at + part.length});
      at += part.length;
    }
  }
}

Status CopiesAhead::find_lacking_of(NodeId file, Ino ino,
                                    const std::vector<DataRun>& runs) {
  std::set<uint64_t> needed;
  uint64_t bytes = 0;
  for_each_part(file, ino, runs, [&](const ByteRange& range) {
    bytes += range.end - range.begin;
    for (uint64_t chunk = range.begin / kCopyChunk;
         chunk * kCopyChunk < range.end; ++chunk)
      needed.insert(needed.end(), chunk);
  });
  if (bytes <= context_.rules.more_than)
    return {};
  LowerCopy* copy = OVL_TRY(copy_of(file));
  if (copy == nullptr)
    return {};
  lacking_.copy = copy;
  for (const uint64_t chunk : needed)
    if (!copy->has(chunk) && chunk < copy->chunks())
      lacking_.chunks.push_back(chunk);
  if (!lacking_.chunks.empty())
    report(file);
  return {};
}

void CopiesAhead::report(NodeId file) {
  if (reported_.insert(file).second)
    context_.report(
        "upperdir waits for a copy of " + context_.layers.name_of(file) + ", " +
        std::to_string(context_.stack.pool()[file].size >> 20) +
        " MiB; should it be interrupted, the next run goes on with it");
}

// Null: the host can share its space, which takes no time.
Result<LowerCopy*> CopiesAhead::copy_of(NodeId file) {
  if (const auto at = copies_.find(file); at != copies_.end())
    return at->second.get();
  const Fd copies =
      OVL_TRY(make_copies(context_.os, context_.state_dir).in(kCopiesPath));
  auto copy =
      OVL_TRY(LowerCopy::open(context_.os, copies.get(),
                              {context_.stack.pool(), file, context_.layers})
                  .in(kCopiesPath));
  if (copy->is_empty() && OVL_TRY(copy->can_share())) {
    sharing_.insert(context_.stack.pool()[file].layer);
    return nullptr;
  }
  return (copies_[file] = std::move(copy)).get();
}

Status CopiesAhead::copy_slice() {
  const uint64_t most =
      std::max<uint64_t>(context_.rules.slice_bytes / kCopyChunk, 1);
  std::span<const uint64_t> chunks(lacking_.chunks);
  chunks = chunks.first(std::min<uint64_t>(most, chunks.size()));
  OVL_TRY(check_space(chunks.size()).in(kCopiesPath));
  return or_forget(lacking_.copy->node(), lacking_.copy->copy(chunks));
}

// A copy of what is not there any more is removed when it is looked for next.
template <typename T>
T CopiesAhead::or_forget(NodeId file, T result) {
  if (!result &&
      LowerCopy::has_drifted({context_.stack.pool(), file, context_.layers}))
    copies_.erase(file);
  return result;
}

Status CopiesAhead::check_space(uint64_t chunks) const {
  struct statvfs fs {};
  if (::fstatvfs(context_.state_dir, &fs) != 0)
    return last_error("statvfs");
  const uint64_t wanted = chunks * kCopyChunk + spare_bytes_;
  if (spare_bytes_ == 0 ||
      fs.f_bavail >= wanted / std::max<uint64_t>(fs.f_frsize, 1))
    return {};
  return system_error(ENOSPC, "copying a large file");
}

Result<std::vector<ByteRange>> CopiesAhead::give(Ino ino, const NodePool& pool,
                                                 NodeId node, const At& at) {
  std::vector<ByteRange> has;
  const auto found = copies_.find(large_file_of(ino));
  if (found == copies_.end())
    return has;
  LowerCopy& copy = *found->second;
  for_each_part(copy.node(), ino, data_runs(pool, pool[node]),
                [&](const ByteRange& range) { add_had(copy, range, has); });
  if (has.empty() ||
      !OVL_TRY(or_forget(found->first, copy.give(at, has)).in(kCopiesPath)))
    has.clear();
  return has;
}

Status CopiesAhead::remove_all() {
  is_begun_ = false;
  copies_.clear();
  lacking_ = {};
  OVL_TRY(remove_all(context_.os, context_.state_dir));
  is_begun_ = true;
  return {};
}

Status CopiesAhead::remove_all(Os& os, int state_dir) {
  const Fd copies = OVL_TRY(open_copies(state_dir).in(kCopiesPath));
  if (!copies.is_open())
    return {};
  OVL_TRY(LowerCopy::remove_all(os, copies.get()).in(kCopiesPath));
  return os.remove_dir({state_dir, kCopies}).in(kCopiesPath);
}

}  // namespace ovl
