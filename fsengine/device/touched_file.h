// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/touched.h"

namespace ovl {

/// `workdir/ovl/touched`: where upper is not as its record says, because of
/// steps of ours since (FORMAT.md). What it names more than that does no harm
/// but to who looks for the changes of others. For one thread at a time.
class TouchedFile {
 public:
  /// `os` and `state_dir`, which is workdir/ovl, outlive it.
  TouchedFile(Os& os, int state_dir) : os_(os), state_dir_(state_dir) {}

  /// Durable when it returns, name included. After an error the next call
  /// takes the place of this one.
  Status append(const Touched& touched);
  uint64_t bytes() const { return end_; }
  /// The record was made anew. No error when there is none.
  Status remove();

  /// All of it, but for what an append that was interrupted left at the end.
  static Result<Touched> read(int state_dir);

 private:
  Status open();

  Os& os_;
  const int state_dir_;
  Fd fd_;
  uint64_t end_ = 0;  // of what counts
};

}  // namespace ovl
