// SPDX-License-Identifier: BSD-3-Clause
//
// The tree that a device shows after a power cut, by other people's hands:
// e2fsck replays the journal of a copy, and the kernel mounts that. Needs root,
// and a mount namespace that is nobody else's.
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

  /// The manifest of what the last copy holds, without lost+found, holes
  /// included, and a nameless_line. REQUIRES: once after each copy.
  Result<std::vector<std::string>> read() const;

 private:
  Result<std::string> replay() const;
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
