// SPDX-License-Identifier: BSD-3-Clause
//
// What upper was when we last left it, object by object, so that the next
// start can tell whether somebody else changed it, and which of its files
// stand for files of the layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"

namespace ovl {

/// An object of upper under one of its names, whiteouts included.
struct UpperObject {
  uint64_t ino = 0;
  uint64_t size = 0;  // of a file or symlink, otherwise 0
  Timestamp mtime;
  Timestamp ctime;        // not of the root: attributes of ours come and go
  uint32_t parent = 0;    // index of its directory; of the root, its own
  StrRef name{};          // empty for the root
  uint32_t mode = 0;      // type and permissions
  DeviceNo rdev{};        // of a device
  NodeId base = kNoNode;  // the layout's node whose bytes it provides now
};

/// Objects sorted by parent, then by name; the root is first, so each comes
/// behind its directory.
struct UpperRecord {
  std::vector<UpperObject> objects;
  StringPool names;

  /// Index of the object at `path`, "" for the root; nothing when there is
  /// none. O(depth log n).
  std::optional<uint32_t> find(std::string_view path) const;
  std::string path_of(uint32_t index) const;
};

/// Upper as it is now, no object with a base. A directory that we may not list
/// has no objects in it. Errors name the path.
Result<UpperRecord> collect_upper(int upper);

struct UpperDifference {
  enum class Kind { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kChanged;
  std::string path;  // "" for the root
};

/// The first object that is not what it was; times of a directory count only
/// when there is no other difference, which tells more. `base` does not count.
/// Times of status change are not looked at when links of our own may have
/// come and gone.
enum class ChangeTimes { kCount, kIgnored };
std::optional<UpperDifference> find_difference(
    const UpperRecord& kept, const UpperRecord& now,
    ChangeTimes change_times = ChangeTimes::kCount);

}  // namespace ovl
