// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest changed, read from a workdir that no server uses. Changes
// nothing, and opens no layer: the layout that is kept there is enough.
#pragma once

#include <memory>
#include <string>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/overlay/layout_file.h"
#include "fsengine/store/disk.h"
#include "images/decode/decoder.h"
#include "images/image.h"

namespace ovl {

class PendingChanges {
 public:
  /// Errors name `workdir: PATH`. ENOENT: nothing was written. EBUSY: a server
  /// is at work there, or a write-back was interrupted.
  static Result<std::unique_ptr<PendingChanges>> open(Os& os,
                                                      const std::string& work);

  /// All changes to the base image, as the guest has committed them. EBUSY,
  /// ENOTSUP and EUCLEAN as Decoder::decode() has them.
  Result<Changes> decode();

  /// Upper shows it all, and the guest had unmounted.
  bool is_settled() const { return disk_->mark().phase == Phase::kSettled; }
  const Decoder& decoder() const { return *decoder_; }
  const Image& image() const { return *image_; }
  /// What the base image shows.
  Tree tree() const {
    return {layout_.stack.trees.pool, layout_.stack.trees.merged_root};
  }

 private:
  PendingChanges() = default;
  Status open_state(Os& os);

  Fd work_;  // locked
  Fd state_dir_;
  SavedLayout layout_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<BaseState> base_;
  std::unique_ptr<Disk> disk_;
  std::shared_ptr<const DiskView> view_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace ovl
