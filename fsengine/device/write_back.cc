// SPDX-License-Identifier: BSD-3-Clause
//
// Write-back at the end of a run, in the simplest order that loses nothing:
//
//   log folded -> file system clean and consistent? -> tree read, compared
//   -> everything new staged beside upper, synced -> plan written, synced
//   -> header says "publishing", synced
//   -> renames into upper, times, synced -> store discarded, then the plan
//
// Until "publishing" a failure or a crash leaves upper as it was and the store
// whole: the next start takes it up, and its end tries again. From then on
// the base image is no more what the store is a change to, and the plan is
// all that counts: each of its steps tells done from not done by the identity
// of what it moves, so the next start drives it to its end before it looks at
// the layers.
#include <cerrno>

#include "fsengine/device/device.h"
#include "fsengine/device/host_facts.h"
#include "fsengine/device/staging.h"
#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/upper_stage.h"
#include "images/ext_reader.h"

namespace ovl {
Status Device::write_back() {
  if (disk_ == nullptr)
    return {};
  auto applied = disk_owner_->fold();
  if (applied)
    applied = apply_to_upper();
  if (!applied)
    return fail(applied.error().code(),
                "write-back: " + applied.error().what() + "; " +
                    std::to_string(disk_owner_->store().map().count()) +
                    " written blocks are kept in " + *config_.work + "/ovl");
  disk_ = nullptr;
  disk_owner_.reset();
  return discard_state().in("write-back");
}

// The mark first: without it the rest means nothing.
Status Device::discard_state() {
  OVL_TRY(Disk::remove(os_, state_dir_.get()).in("workdir: ovl"));
  OVL_TRY(remove_plan(os_, state_dir_.get()));
  return remove_staging(os_, state_dir_.get());
}

Status Device::finish_write_back() {
  state_dir_ = OVL_TRY(places_->state_dir());
  if (!state_dir_.is_open())
    return {};
  const auto mark = Mark::open(os_, state_dir_.get());
  if (!mark && mark.error().code() == ENOENT)
    return discard_state();  // what an end that was interrupted left
  if (!mark)
    return tl::unexpected(mark.error().in("workdir: ovl"));
  if ((*mark)->state().phase != Phase::kPublishing)
    return {};
  const PublishPlan plan = OVL_TRY(read_plan(state_dir_.get()));
  const Fd staging = OVL_TRY(open_staging(os_, state_dir_.get()));
  OVL_TRY(publish(os_, places_->upper(), staging.get(), plan));
  OVL_TRY(discard_state());
  config_.report("finished a write-back to upperdir that was interrupted");
  return {};
}

Status Device::apply_to_upper() {
  const std::shared_ptr<const DiskView> view = OVL_TRY(disk_owner_->seal());
  auto reader =
      OVL_TRY(ExtReader::open({*view, *image_, stack_->pool(), stack_->merged(),
                               [&view](BlockNo first, uint64_t count) {
                                 return view->is_written(first, count);
                               }}));
  const Tree guest = OVL_TRY(reader->read_tree());
  if (guest.root == stack_->merged().root)
    return {};
  return write_tree(guest, *reader);
}

Status Device::write_tree(Tree guest, ExtReader& reader) {
  const Fd staging = OVL_TRY(open_staging(os_, state_dir_.get()));
  OVL_TRY(empty_directory(os_, staging.get()).in("workdir: ovl/staging"));
  auto plan = stage(guest, reader, staging.get());
  if (!plan) {
    auto removed = remove_staging(os_, state_dir_.get());
    return removed ? tl::unexpected(plan.error()) : removed;
  }
  if (plan->empty())
    return {};
  OVL_TRY(write_plan(os_, state_dir_.get(), *plan));
  OVL_TRY(disk_owner_
              ->change_mark(
                  [](MarkState& mark) { mark.phase = Phase::kPublishing; })
              .in("workdir: ovl"));
  return publish(os_, places_->upper(), staging.get(), *plan);
}

Result<PublishPlan> Device::stage(Tree guest, ExtReader& reader, int staging) {
  const auto content = [&](NodeId id) -> Result<std::unique_ptr<BlockSource>> {
    const Node& node = stack_->pool()[id];
    if (node.origin == Origin::kLayer)
      return files_->content(id);
    return reader.open_file(Ino{static_cast<uint32_t>(node.host_ino)});
  };
  const UpperTarget target{.os = os_,
                           .pool = stack_->pool(),
                           .upper = places_->upper(),
                           .staging = staging,
                           .family = family_,
                           .owner = config_.owner,
                           .privileged = is_privileged(),
                           .content = content};
  const UpperPlan plan = plan_upper(
      {stack_->lower(), stack_->merged(), guest, redirect_dir_, config_.owner});
  return UpperStage(target, plan).run();
}

}  // namespace ovl
