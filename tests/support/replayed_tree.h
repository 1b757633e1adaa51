// SPDX-License-Identifier: BSD-3-Clause
//
// The tree that a device shows after a power cut, by other people's hands:
// e2fsck replays the journal of a copy, or mends it, and the kernel mounts
// that. Needs root, and a mount namespace that is nobody else's.
#pragma once

#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"
#include "tests/support/manifest.h"

namespace ovl {

class ReplayedTree {
 public:
  /// Works in `directory`, which is on a file system with room for a copy and
  /// outlives it.
  explicit ReplayedTree(const std::string& directory);

  /// Takes a copy of image file `raw`.
  Status copy(int raw) const;

  /// The manifest of what the last copy holds when its journal was replayed,
  /// without lost+found, holes included, and a nameless_line. Of read_mended
  /// when all that e2fsck finds was mended, and no nameless_line, for not all
  /// of them are told. REQUIRES: one of the two, once after each copy.
  Result<std::vector<std::string>> read_replayed() const;
  Result<std::vector<std::string>> read_mended() const;

  /// Does e2fsck find nothing to mend in the last copy?
  Result<bool> is_sound() const;

 private:
  Result<std::string> replay() const;
  Result<std::vector<std::string>> mount_and_read() const;
  Result<std::vector<std::string>> read_mounted() const;

  const std::string image_;
  const std::string mount_;
};

/// Tells of inodes that are in use without a name.
std::string nameless_line(std::vector<uint32_t> inodes);

/// The lines of a manifest, for comparing.
Result<std::vector<std::string>> manifest_lines(Manifest manifest,
                                                const ManifestFormat& format);

}  // namespace ovl
