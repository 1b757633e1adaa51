// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"
#include "fsengine/overlay/host_file.h"

namespace ovl {

/// `workdir/ovl/kept` (FORMAT.md): files of upper that have lost their names
/// while the guest has them open. Each has a further name there, the guest's
/// inode number; nothing is copied. For one thread at a time, but for open().
class KeptFiles {
 public:
  /// `os` and `state_dir`, which is workdir/ovl, outlive it.
  KeptFiles(Os& os, int state_dir) : os_(os), state_dir_(state_dir) {}

  /// What an earlier run left. To be called before all else.
  Status read();

  /// Those that are there, as they were found or added.
  const std::map<Ino, Stamp>& files() const { return files_; }

  /// The file at `path` beneath upper, which is `host_ino`, gets a name here:
  /// durable when it returns. ESTALE when another one is there; EPERM, EMLINK
  /// and so on when it can have no further name.
  Status add(Ino ino, int upper, const std::string& path, uint64_t host_ino);
  /// Durable when it returns; no error where there is none.
  Status remove(const std::set<Ino>& inodes);

  /// REQUIRES: nothing is read from them, now or by a later start.
  static Status remove_all(Os& os, int state_dir);

  /// For any thread. ESTALE when there is none that is `host_ino`.
  Result<Fd> open(Ino ino, uint64_t host_ino) const;

 private:
  Result<Fd> open_directory() const;
  Result<Fd> make_directory();

  Os& os_;
  const int state_dir_;
  std::map<Ino, Stamp> files_;
};

}  // namespace ovl
