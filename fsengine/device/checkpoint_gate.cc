// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/checkpoint_gate.h"

#include <algorithm>

namespace ovl {

bool CheckpointGate::enter() {
  const MutexLock lock(mutex_);
  if (waiting_ >= kMostWaiting)
    return false;
  ++waiting_;
  return true;
}

void CheckpointGate::wait(Position position) {
  const MutexLock lock(mutex_);
  while (tried_ < position)
    changed_.wait(mutex_);
  --waiting_;
}

bool CheckpointGate::is_awaited() const {
  const MutexLock lock(mutex_);
  return waiting_ > 0;
}

void CheckpointGate::note_tried(Position position) {
  const MutexLock lock(mutex_);
  tried_ = std::max(tried_, position);
  changed_.notify_all();
}

}  // namespace ovl
