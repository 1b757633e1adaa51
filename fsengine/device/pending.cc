// SPDX-License-Identifier: BSD-3-Clause
//
// Decoding reads metadata, and data of what the guest wrote; the bytes of a
// layer's file it never asks for. So the base of the disk is the image's
// metadata alone.
#include "fsengine/device/pending.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "fsengine/device/layout_parameters.h"
#include "fsengine/device/note_written.h"
#include "fsengine/device/places.h"

namespace ovl {

Result<std::unique_ptr<PendingChanges>> PendingChanges::open(
    Os& os, const std::string& work) {
  std::unique_ptr<PendingChanges> pending(new PendingChanges());
  pending->work_ = OVL_TRY(Places::lock_work(work));
  pending->state_dir_ =
      Fd(::openat(pending->work_.get(), "ovl",
                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!pending->state_dir_.is_open())
    return last_error("workdir: " + work + "/ovl");
  OVL_TRY(pending->open_state(os).in("workdir: " + work + "/ovl"));
  return pending;
}

Status PendingChanges::open_state(Os& os) {
  auto layout = read_layout(state_dir_.get());
  if (!layout && layout.error().code() == ENOENT)
    return fail(EBUSY, "the layout is not kept yet: a server does that");
  if (!layout)
    return tl::unexpected(layout.error());
  layout_ = std::move(*layout);
  const ImageOptions options = OVL_TRY(image_options(layout_.record));
  const PooledTrees& trees = layout_.stack.trees;
  image_ = OVL_TRY(Image::build({trees.pool, trees.lower_root},
                                {trees.pool, trees.merged_root}, options));
  if (image_->size() != layout_.record.device_bytes ||
      image_->fingerprint() != layout_.record.fingerprint)
    return fail(EPROTO, "layout: laid out in another way by this version");
  base_ = std::make_unique<BaseState>(*image_);
  decoder_ = std::make_unique<Decoder>(Catalog(*base_));
  disk_ = OVL_TRY(Disk::open(os, state_dir_.get(), base_->metadata(),
                             image_->fingerprint(), {}));
  if (disk_->mark().phase == Phase::kPublishing ||
      disk_->mark().phase == Phase::kCheckpointing)
    return fail(EBUSY,
                "a write-back was interrupted: the next start of a "
                "server ends it");
  view_ = OVL_TRY(disk_->seal());
  note_all_written(*view_, *decoder_, BeginsAt::kBase);
  return {};
}

Result<Changes> PendingChanges::decode() {
  Changes changes =
      OVL_TRY(decoder_->decode(*view_, Decoder::Stillness::kStill));
  decoder_->accept();
  return changes;
}

}  // namespace ovl
