// SPDX-License-Identifier: BSD-3-Clause
//
// When checkpoints are made: by the background thread, every interval, once a
// client has come that may write (nbdkit -r changes nothing). One that fails is
// tried again, at growing distances, and told of once.
#include <algorithm>
#include <cerrno>

#include "fsengine/device/device.h"
#include "fsengine/device/trouble_file.h"

namespace ovl {
namespace {

constexpr std::chrono::seconds kFirstPause{1};
constexpr std::chrono::seconds kLongestPause{300};

}  // namespace

void Device::work_in_background() {
  if (!may_write_)
    return;
  const bool is_awaited = gate_.is_awaited();  // by whom this is for
  const Disk* disk = disk_;
  const Position written = disk == nullptr ? Position{} : disk->last();
  save_layout_in_background();
  if (is_layout_saved_ && has_checkpoints_ && !is_settled() &&
      is_checkpoint_due())
    note_outcome(checkpoint_while_running());
  if (is_awaited)
    gate_.note_tried(written);
}

// One that fails does not fail the request: what it wrote is on disk, and the
// guest goes on.
void Device::wait_for_upper(Position position) {
  if (!config_.sync_checkpoints || !is_started_ || !may_write_ ||
      !has_checkpoints_ || !gate_.enter())
    return;
  background_.wake();
  gate_.wait(position);
}

// The worker is woken for the layout, too: the guest has only begun then.
bool Device::is_checkpoint_due() {
  const auto now = std::chrono::steady_clock::now();
  if (!next_checkpoint_)
    next_checkpoint_ = now + *config_.checkpoint;
  const bool is_asked = was_disconnect_.exchange(false) || gate_.is_awaited();
  if (now < trouble_.again || (now < *next_checkpoint_ && !is_asked))
    return false;
  next_checkpoint_ = now + *config_.checkpoint;
  return true;
}

Result<bool> Device::checkpoint_now() {
  if (is_settled())
    return true;
  OVL_TRY(save_layout().in("workdir: ovl"));
  if (!has_checkpoints_)
    return fail(ENOTSUP, "checkpoints are off, or upperdir was not empty");
  return checkpoint_in_full(flushed_);
}

bool Device::is_settled() const {
  return disk_ == nullptr || disk_owner_->mark().phase == Phase::kSettled;
}

// What is not ours is not taken for ours: upper is recorded when it is known to
// show what the guest has, and not before.
Status Device::check_leftovers() {
  if (!has_leftovers_)
    return {};
  OVL_TRY(check_only_ours());
  has_leftovers_ = false;
  return {};
}

Result<bool> Device::checkpoint(Position flushed) {
  OVL_TRY(check_leftovers());
  return checkpointer().run(flushed);
}

// A stop waits for one part of a large copy. The last checkpoint goes on.
Result<bool> Device::checkpoint_while_running() {
  for (;;) {
    auto done = checkpoint(flushed_);
    if (!done || !checkpointer_->is_copying() || !background_.is_running())
      return done;
  }
}

Result<bool> Device::checkpoint_in_full(Position flushed) {
  for (;;) {
    auto done = checkpoint(flushed);
    if (!done || !checkpointer_->is_copying())
      return done;
  }
}

Checkpointer& Device::checkpointer() {
  if (!checkpointer_)
    checkpointer_ = std::make_unique<Checkpointer>(
        Checkpointer::Context{.os = os_,
                              .upper = places_->upper(),
                              .state_dir = state_dir_.get(),
                              .family = family_,
                              .redirect_dir = redirect_dir_,
                              .owner = config_.owner,
                              .unrepresentable = unrepresentable_,
                              .stack = *stack_,
                              .image = *image_,
                              .disk = *disk_owner_,
                              .layers = *files_,
                              .files = *upper_files_,
                              .provided = *provided_,
                              .copies = config_.copies,
                              .now = upper_now(),
                              .record_upper = [this] { return record_upper(); },
                              .report = config_.report});
  return *checkpointer_;
}

void Device::forget_trouble() {
  if (trouble_.is_noted)
    ovl::forget_trouble(os_, state_dir_.get());
  trouble_ = {};
  trouble_.is_noted = false;
}

void Device::note_outcome(const Result<bool>& outcome) {
  if (outcome)
    return forget_trouble();
  const std::string& what = outcome.error().what();
  if (what != trouble_.what) {
    config_.report("checkpoint: " + what +
                   "; all that was written is kept, and it is tried again");
    note_trouble(os_, state_dir_.get(), "checkpoint: " + what);
  }
  trouble_.is_noted = true;
  trouble_.what = what;
  trouble_.pause = std::clamp(2 * trouble_.pause, kFirstPause, kLongestPause);
  trouble_.again = std::chrono::steady_clock::now() + trouble_.pause;
}

}  // namespace ovl
