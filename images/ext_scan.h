// SPDX-License-Identifier: BSD-3-Clause
//
// The first pass over a file system that a guest left: every inode in use is
// looked at once, its blocks are claimed, and what is no longer as it was
// synthesized is decoded. Names are read, and not yet believed: which inodes
// they reach is for the second pass (ext_links.h).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fsengine/base/string_pool.h"
#include "fsengine/base/tree.h"
#include "images/ext2_io.h"
#include "images/ext_dir_reader.h"
#include "images/ext_reader.h"

namespace ovl {

/// Not an index.
inline constexpr uint32_t kNone = UINT32_MAX;

struct FoundInode {
  Ino ino{};
  NodeId source = kNoNode;   // what it was synthesized from
  uint32_t changed = kNone;  // into ExtScan::changed; none: as its source
  uint32_t names = kNone;    // into ExtScan::directories; none: as its source
  uint16_t links = 0;
  uint16_t mode = 0;
  bool same_links = false;  // as many as its source has

  bool is_dir() const { return S_ISDIR(mode); }
};

struct ExtScan {
  std::vector<FoundInode> inodes;  // in order of their numbers
  std::vector<Node> changed;       // without entries
  std::vector<DirContent> directories;
  StringPool names;  // those in `directories`

  /// The index of `ino` in `inodes`, or kNone.
  uint32_t find(Ino ino) const;
};

/// REQUIRES: the bitmaps of `fs` were read. New attributes, targets and hole
/// maps are added to the pool; nodes are not.
Result<ExtScan> scan_inodes(const ExtReaderInput& input, ext2_filsys fs);

}  // namespace ovl
