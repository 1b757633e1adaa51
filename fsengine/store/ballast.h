// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/mutex.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"

namespace ovl {

/// Space kept for a full disk: given up when folding needs a little to free
/// much, and taken again when there is room. Safe for concurrent use.
class Ballast {
 public:
  /// `directory` is workdir/ovl, and outlives it.
  Ballast(Os& os, int directory) : os_(os), directory_(directory) {}

  /// Makes it unless it is there; what fails is left for another time.
  void take();
  /// Gives the space back, an earlier server's too; false when there was none.
  bool give_up();
  /// No error when there is none.
  static Status remove(Os& os, int directory);

 private:
  Os& os_;
  const int directory_;
  Mutex mutex_;
  bool has_it_ OVL_GUARDED_BY(mutex_) = false;
};

}  // namespace ovl
