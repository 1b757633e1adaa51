// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/os.h"
#include "fsengine/device/lower_parts.h"
#include "fsengine/overlay/file_reader.h"

namespace ovl {

/// Content of a guest's files that a lower has, unchanged: a copy of it in
/// upper shares its space where the host's file system can (ioctl_ficlonerange
/// (2)). For one thread at a time.
class SharedContent {
 public:
  /// All outlive it.
  SharedContent(Os& os, LowerParts& parts, FileReader& files)
      : os_(os), parts_(parts), files_(files) {}

  /// Gives file `to` what the guest's file `ino` has from `at` on, at most up
  /// to `end`, by sharing. Returns how many bytes that was: 0 where it cannot.
  uint64_t share(int to, Ino ino, uint64_t at, uint64_t end);

 private:
  Os& os_;
  LowerParts& parts_;
  FileReader& files_;
  bool is_impossible_ = false;
};

}  // namespace ovl
