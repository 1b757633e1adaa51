// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <set>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

/// `workdir/ovl/absent` (FORMAT.md): what of the guest's file system upper may
/// lack, because upper's own cannot have it. On disk it names those before and
/// after a change of upper while that is going on. For one thread at a time.
class AbsentObjects {
 public:
  /// `os` and `state_dir`, which is workdir/ovl, outlive it.
  AbsentObjects(Os& os, int state_dir) : os_(os), state_dir_(state_dir) {}

  /// What an earlier run left. To be called before all else.
  Status read();

  bool empty() const { return inodes_.empty(); }
  size_t size() const { return inodes_.size(); }
  bool contains(Ino ino) const { return inodes_.contains(ino); }
  const std::set<Ino>& inodes() const { return inodes_; }

  /// Durable when it returns.
  Status add(const std::set<Ino>& inodes);
  /// Exactly these from now on: upper is as it is to be.
  Status keep_only(std::set<Ino> inodes);

  /// No error when there is none.
  static Status remove(Os& os, int state_dir);

 private:
  Status write(const std::set<Ino>& inodes);

  Os& os_;
  const int state_dir_;
  std::set<Ino> inodes_;
};

}  // namespace ovl
