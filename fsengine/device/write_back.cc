// SPDX-License-Identifier: BSD-3-Clause
//
// Write-back at the end of a run, in the simplest order that loses nothing:
//
//   log folded -> file system clean and consistent? -> tree read, told over
//   upper as it is -> everything new staged beside upper, synced -> bytes that
//   upper is going to lose saved in the store, durable -> plan written, synced
//   -> mark says "publishing" -> renames into upper, times, synced -> upper
//   recorded -> mark says "settled" -> log removed, marker removed
//
// Until "publishing" a failure or a crash leaves upper as it was and all that
// was written in place: the next start takes it up, and its end tries again.
// From then on the plan is all that counts: each of its steps tells done from
// not done by the identity of what it moves, so the next start drives it to its
// end before it looks at the layers. The blocks keep their meaning throughout:
// what upper loses is saved before, and what it keeps is found again by inode
// number, wherever it stands.
//
// Staging links objects of upper, which changes the time of their status. While
// there is a directory `staging`, such times are not what upper is known by; it
// goes when upper was recorded anew.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "fsengine/device/absent_objects.h"
#include "fsengine/device/deletions_ahead.h"
#include "fsengine/device/device.h"
#include "fsengine/device/host_facts.h"
#include "fsengine/device/kept_files.h"
#include "fsengine/device/staging.h"
#include "fsengine/device/trouble_file.h"
#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/tree_difference.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/upper_stage.h"
#include "images/ext_reader.h"

namespace ovl {

Status Device::write_back() {
  background_.stop();
  if (disk_ == nullptr)
    return {};
  if (disk_owner_->mark().phase == Phase::kSettled)
    return end_disk().in("write-back");
  auto applied = save_layout().in("workdir: ovl");
  if (applied)
    applied = disk_owner_->fold();
  if (applied)
    applied = bring_upper_up_to_date();
  if (!applied)
    note_trouble(os_, state_dir_.get(),
                 "write-back: " + applied.error().what());
  if (!applied)
    return fail(applied.error().code(),
                "write-back: " + applied.error().what() + "; " +
                    std::to_string(disk_owner_->store().map().count()) +
                    " written blocks are kept in " + *config_.work + "/ovl");
  return end_disk().in("write-back");
}

// Nothing that the guest wrote is only in the log any more.
Status Device::end_disk() {
  disk_ = nullptr;
  OVL_TRY(disk_owner_->close());
  disk_owner_.reset();
  forget_trouble();
  OVL_TRY(remove_means());
  return clear_unsettled(os_, unsettled_places());
}

// Of bringing upper to where it is.
Status Device::remove_means() {
  const int state = state_dir_.get();
  OVL_TRY(remove_plan(os_, state));
  OVL_TRY(TouchedFile(os_, state).remove());
  OVL_TRY(CopiesAhead::remove_all(os_, state));
  OVL_TRY(KeptFiles::remove_all(os_, state));
  return remove_staging(os_, state);
}

Status Device::finish_write_back() {
  state_dir_ = OVL_TRY(places_->state_dir());
  if (!state_dir_.is_open())
    return {};
  const auto mark = Mark::open(os_, state_dir_.get());
  if (!mark && mark.error().code() == ENOENT)
    return discard_state();  // a first write, or an end, that was interrupted
  if (!mark)
    return tl::unexpected(mark.error().in("workdir: ovl"));
  MarkState state = (*mark)->state();
  const bool is_end = state.phase == Phase::kPublishing;
  if (!is_end && state.phase != Phase::kCheckpointing)
    return {};
  // A server that was killed may have left it in the host's cache alone; upper
  // must not be ahead of it.
  OVL_TRY((*mark)->set(state).in("workdir: ovl"));
  const PublishPlan plan = OVL_TRY(read_plan(state_dir_.get()));
  const Fd staging = OVL_TRY(open_staging(os_, state_dir_.get()));
  OVL_TRY(
      publish(os_, places_->upper(), staging.get(), plan, &unrepresentable_));
  if (!is_end)
    return finish_checkpoint(**mark);
  OVL_TRY(record_upper(staging));
  state.phase = Phase::kSettled;
  state.applied = state.folded;  // all was folded before
  OVL_TRY((*mark)->set(state).in("workdir: ovl"));
  OVL_TRY(remove_means());
  config_.report("finished a write-back to upperdir that was interrupted");
  return {};
}

// The plan's patches are done again from staging as long as the mark tells of
// them, so staging stays until it does not.
Status Device::finish_checkpoint(Mark& mark) {
  MarkState state = mark.state();
  state.phase = Phase::kWriting;
  OVL_TRY(mark.set(state).in("workdir: ovl"));
  config_.report(
      "finished a checkpoint that was interrupted: "
      "upperdir is whole");
  return {};
}

// What the new upper still has of the old one's objects provides what it did:
// an inode number of one that is gone was not used again meanwhile, for all new
// objects were made before any was removed.
Status Device::record_upper(const Fd& staging) {
  OVL_TRY(empty_directory(os_, staging.get()).in("workdir: ovl/staging"));
  const int state = state_dir_.get();
  const UpperRecord before =
      OVL_TRY(read_upper(state, UINT32_MAX).in("workdir: ovl"));
  std::unordered_map<uint64_t, NodeId> base_of;
  for (const UpperObject& object : before.objects)
    if (object.base != kNoNode)
      base_of[object.ino] = object.base;
  UpperRecord now = OVL_TRY(collect_upper(places_->upper()));
  for (UpperObject& object : now.objects)
    if (const auto at = base_of.find(object.ino); at != base_of.end())
      object.base = at->second;
  OVL_TRY(write_upper(os_, state, now).in("workdir: ovl"));
  return {};
}

bool Device::is_for_the_whole_tree(const Error& error) const {
  return error.code() != ESTALE && !is_lack_of_room(error) &&
         !checkpointer_->is_publishing() && !checkpointer_->is_copying();
}

// A last checkpoint; the whole tree is read when that cannot be, and to check
// it. Not when upper is not as a checkpoint left it: the whole tree knows of
// nothing in upper whether it is ours, and would take it away. Nor when a large
// copy could not be made, or upper has no room: it would need the same, or
// more.
Status Device::bring_upper_up_to_date() {
  if (!has_checkpoints_ && !checkpointer_) {
    OVL_TRY(check_only_ours());
    return apply_to_upper();
  }
  OVL_TRY(check_leftovers());
  checkpointer().expect_no_requests();
  const auto done = checkpoint_in_full(Position{UINT64_MAX});
  if (!done && !is_for_the_whole_tree(done.error()))
    return tl::unexpected(done.error());
  OVL_TRY(check_only_ours());
  if (!done)
    config_.report("the whole tree is compared with upperdir: checkpoint: " +
                   done.error().what());
  if (done && *done && checkpointer_->is_settled() && OVL_TRY(is_as_shown())) {
    if (const auto given = checkpointer_->give_back_freed(); !given)
      config_.report("workdir: ovl: what the guest has freed stays there: " +
                     given.error().what());
    return settle();
  }
  OVL_TRY(apply_to_upper());
  if (const auto adopted = checkpointer_->adopt(); !adopted)
    config_.report("the next run will have no checkpoints: " +
                   adopted.error().what());
  return {};
}

// An upper that somebody else changed meanwhile is not recorded as ours, nor
// written over.
Status Device::check_only_ours() {
  const int state = state_dir_.get();
  const UpperRecord kept =
      OVL_TRY(read_upper(state, UINT32_MAX).in("workdir: ovl"));
  const UpperRecord now = OVL_TRY(collect_upper(places_->upper()));
  const Touched touched = OVL_TRY(TouchedFile::read(state));
  const auto difference =
      find_difference(kept, now, touched, ChangeTimes::kIgnored);
  if (!difference)
    return {};
  return fail(ESTALE, "upperdir: " + difference->path +
                          ": changed by somebody else while it was served");
}

// Does upper show what the guest does? Only a check asks.
Result<bool> Device::is_as_shown() {
  if (!config_.check_upper)
    return true;
  const std::shared_ptr<const DiskView> view = OVL_TRY(disk_owner_->seal());
  auto reader = OVL_TRY(open_reader(view));
  const Tree guest = OVL_TRY(reader->read_tree());
  OVL_TRY(find_upper_now());
  const Rebased rebased = OVL_TRY(rebase(guest, *reader));
  const auto difference = OVL_TRY(
      find_tree_difference(rebased.guest, upper_now(), config_.owner,
                           [&](NodeId id) { return content_of(id, *reader); }));
  if (difference)
    config_.report("upperdir: " + *difference +
                   ": is not what the guest's file system has");
  return !difference;
}

Result<std::unique_ptr<ExtReader>> Device::open_reader(
    const std::shared_ptr<const DiskView>& view) {
  return ExtReader::open({*view, *image_, stack_->pool(), stack_->merged(),
                          [view](BlockNo first, uint64_t count) {
                            return view->is_written(first, count);
                          }});
}

Status Device::settle() {
  OVL_TRY(record_upper());
  return disk_owner_
      ->change_mark([](MarkState& mark) { mark.phase = Phase::kSettled; })
      .in("workdir: ovl");
}

// After checkpoints of this run.
Status Device::find_upper_now() {
  std::unordered_map<uint64_t, NodeId> by_ino;
  now_root_ = OVL_TRY(stack_->merge_upper_now(family_)).root;
  for (const NodeId id : upper_objects(upper_now()))
    by_ino[stack_->pool()[id].host_ino] = id;
  NowMap now;
  for (const auto& [base, before] : now_)
    if (const auto at = by_ino.find(stack_->pool()[before].host_ino);
        at != by_ino.end())
      now[base] = at->second;
  now_ = std::move(now);
  files_->provide(now_);
  return {};
}

Status Device::record_upper() {
  const Fd staging = OVL_TRY(open_staging(os_, state_dir_.get()));
  return record_upper(staging);
}

// What upper provides it may lose, and who has it is not known any more.
Status Device::take_back_provided() {
  {
    const std::shared_ptr<const DiskView> view = OVL_TRY(disk_owner_->seal());
    const uint64_t end = blocks_for(size());
    for (uint64_t at = 0; at < end;) {
      const DiskView::Piece piece = view->piece_at(BlockNo{at}, end - at);
      if (piece.where == DiskView::Where::kProvided)
        OVL_TRY(take_back(*view, {BlockNo{at}, piece.count}));
      at += piece.count;
    }
  }
  return disk_owner_->fold();
}

// What is free is not written out.
Status Device::take_back(const DiskView& view, const BlockRange& range) {
  for (uint64_t at = to_int(range.first); at < range.end();) {
    const auto piece = provided_->piece_at(at, range.end() - at);
    OVL_TRY(piece.file == kNoNode
                ? disk_owner_->zero(at * kBlockSize, piece.count * kBlockSize,
                                    Durability::kLazy)
                : disk_owner_->keep(view, {BlockNo{at}, piece.count}));
    at += piece.count;
  }
  return {};
}

Status Device::apply_to_upper() {
  OVL_TRY(take_back_provided().in("workdir: ovl"));
  const std::shared_ptr<const DiskView> view = OVL_TRY(disk_owner_->seal());
  auto reader = OVL_TRY(open_reader(view));
  const Tree guest = OVL_TRY(reader->read_tree());
  if (checkpointer_)
    OVL_TRY(find_upper_now());
  const Rebased rebased = OVL_TRY(rebase(guest, *reader));
  if (rebased.guest.root != now_root_)
    OVL_TRY(write_tree(rebased, *reader, *view));
  else if (has_staging(state_dir_.get()))
    OVL_TRY(record_upper());
  const Position applied = view->last();
  return disk_owner_
      ->change_mark([applied](MarkState& mark) {
        mark.phase = Phase::kSettled;
        mark.applied = applied;
        mark.catalog = 0;
      })
      .in("workdir: ovl");
}

Result<Rebased> Device::rebase(const Tree& guest, ExtReader& reader) {
  const RebaseInput input{
      .pool = stack_->pool(),
      .merged = now_root_,
      .guest = guest.root,
      .now = now_,
      .redirect_dir = redirect_dir_,
      .owner = config_.owner,
      .content = [&](NodeId id) { return content_of(id, reader); },
      .guest_ino = [this](NodeId id) { return to_int(image_->ino_of(id)); }};
  return rebase_guest(input);
}

Result<std::unique_ptr<BlockSource>> Device::content_of(NodeId id,
                                                        ExtReader& reader) {
  if (stack_->pool()[id].origin == Origin::kLayer)
    return files_->content(id);
  return reader.open_file(guest_ino(id));
}

Status Device::write_tree(const Rebased& rebased, ExtReader& reader,
                          const DiskView& view) {
  const Fd staging = OVL_TRY(open_staging(os_, state_dir_.get()));
  OVL_TRY(empty_directory(os_, staging.get()).in("workdir: ovl/staging"));
  std::set<Ino> left_out;
  auto plan = stage(rebased.guest, reader, staging.get(), left_out);
  if (!plan) {
    const Status undone = unstage(staging);
    return undone ? tl::unexpected(plan.error()) : undone;
  }
  AbsentObjects absent(os_, state_dir_.get());
  OVL_TRY(absent.read());
  OVL_TRY(absent.add(left_out));
  OVL_TRY(publish_tree(*plan, rebased, reader, view, staging));
  return absent.keep_only(std::move(left_out));
}

Status Device::publish_tree(const PublishPlan& plan, const Rebased& rebased,
                            ExtReader& reader, const DiskView& view,
                            const Fd& staging) {
  if (plan.empty())
    return record_upper(staging);
  OVL_TRY(save_lost(rebased.lost, reader, view).in("workdir: ovl"));
  OVL_TRY(write_plan(os_, state_dir_.get(), plan));
  OVL_TRY(os_.fsync(state_dir_.get()).in("workdir: ovl"));
  OVL_TRY(disk_owner_
              ->change_mark([](MarkState& mark) {
                mark.phase = Phase::kPublishing;
                mark.catalog = 0;
              })
              .in("workdir: ovl"));
  OVL_TRY(
      publish(os_, places_->upper(), staging.get(), plan, &unrepresentable_));
  return record_upper(staging);
}

Status Device::unstage(const Fd& staging) {
  OVL_TRY(record_upper(staging));
  OVL_TRY(TouchedFile(os_, state_dir_.get()).remove());
  return remove_staging(os_, state_dir_.get());
}

Result<PublishPlan> Device::stage(const Tree& guest, ExtReader& reader,
                                  int staging, std::set<Ino>& left_out) {
  const UpperTarget target{
      .os = os_,
      .pool = stack_->pool(),
      .upper = places_->upper(),
      .staging = staging,
      .family = family_,
      .owner = config_.owner,
      .privileged = is_privileged(),
      .unrepresentable = &unrepresentable_,
      .content = [&](NodeId id) { return content_of(id, reader); }};
  const UpperPlan plan = plan_upper(
      {stack_->lower(), upper_now(), guest, redirect_dir_, config_.owner});
  UpperStage stage(target, plan);
  auto steps = stage.run();
  for (const NodeId id : stage.left_out())
    left_out.insert(guest_ino(id));
  return steps;
}

Ino Device::guest_ino(NodeId id) const {
  const Node& node = stack_->pool()[id];
  if (node.origin == Origin::kLayer)
    return image_->ino_of(id);
  return Ino{static_cast<uint32_t>(node.host_ino)};
}

// The bytes go to the log like a guest's: the device shows the same. What the
// guest has freed is not copied: it reads as zeros.
Status Device::save_lost(std::span<const NodeId> lost, const ExtReader& reader,
                         const DiskView& view) {
  for (const NodeId node : lost)
    for (const Image::BlockRun& run : image_->blocks_of(node)) {
      const uint64_t end = to_int(run.first) + run.count;
      for (uint64_t at = to_int(run.first); at < end;)
        at += OVL_TRY(save_piece(BlockNo{at}, end - at, reader, view));
    }
  return disk_owner_->flush();
}

// Returns how many blocks from `first` on are done, at least one.
Result<uint64_t> Device::save_piece(BlockNo first, uint64_t most,
                                    const ExtReader& reader,
                                    const DiskView& view) {
  constexpr uint64_t kMostCopied = 256;
  const uint64_t offset = to_int(first) * kBlockSize;
  const DiskView::Piece piece = view.piece_at(first, most);
  if (piece.where != DiskView::Where::kBase)
    return piece.count;
  if (const uint64_t free = reader.free_run(first, piece.count); free > 0) {
    OVL_TRY(disk_owner_->zero(offset, free * kBlockSize, Durability::kLazy));
    return free;
  }
  uint64_t count = 1;
  while (count < std::min(piece.count, kMostCopied) &&
         reader.free_run(BlockNo{to_int(first) + count}, 1) == 0)
    ++count;
  std::vector<std::byte> bytes(count * kBlockSize);
  OVL_TRY(view.read(offset, bytes));
  OVL_TRY(disk_owner_->write(offset, bytes, Durability::kLazy));
  return count;
}

}  // namespace ovl
