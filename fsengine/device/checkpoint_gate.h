// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/mutex.h"
#include "fsengine/store/log_format.h"

namespace ovl {

/// Where requests wait for the checkpoint that has what they wrote. One serves
/// all that wait. Safe for concurrent use.
class CheckpointGate {
 public:
  /// No more than so many wait, for each takes a thread of the server's that
  /// reads need.
  static constexpr int kMostWaiting = 8;

  /// A request begins to wait. False: enough do, it is not to.
  bool enter();
  /// Until a checkpoint of `position`, or a later one, was tried. REQUIRES:
  /// enter() said true, and whoever makes checkpoints was woken since.
  void wait(Position position);

  bool is_awaited() const;
  /// A checkpoint of all up to `position` was tried.
  void note_tried(Position position);

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  int waiting_ OVL_GUARDED_BY(mutex_) = 0;
  Position tried_ OVL_GUARDED_BY(mutex_){};
};

}  // namespace ovl
