// SPDX-License-Identifier: BSD-3-Clause
//
// The value that crosses from decoding to applying: how a guest's tree differs
// between two moments. Objects are known by identity and names lead to
// identities. It is a difference of states and no list of operations, so the
// order of its parts means nothing.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/tree.h"
#include "fsengine/base/units.h"
#include "fsengine/base/xattrs.h"

namespace ovl {

/// An object of a guest's file system. A number that is used again has another
/// generation or type; generation is not what the inode has under that name.
struct ObjectId {
  Ino ino{};
  uint32_t generation = 0;
  uint16_t type = 0;  // S_IFMT bits

  auto operator<=>(const ObjectId&) const = default;
};

struct Attributes {
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  DeviceNo rdev{};            // of a character or block device, otherwise 0
  uint16_t mode = 0;          // S_IFMT and permissions
  uint8_t flags = kFlagNone;  // NodeFlag

  bool operator==(const Attributes&) const = default;
};

/// Which of them are not as they were before.
enum AttributeBit : uint8_t {
  kModeChanged = 1,
  kOwnerChanged = 2,
  kTimeChanged = 4,
  kFlagsChanged = 8,
  kDeviceChanged = 16,
  kAllAttributes = 31,
};

/// `count` blocks of a file from block `first` on.
struct FileRange {
  uint64_t first = 0;
  uint64_t count = 0;
  bool is_hole = false;  // reads as zeros: no block, or an unwritten one

  bool operator==(const FileRange&) const = default;
};

/// A regular file's content now. What is not in `changed` is as it was before,
/// up to the smaller of both sizes, and a hole behind it.
struct ContentChange {
  uint64_t size = 0;               // bytes
  std::vector<FileRange> changed;  // in order; none ends beyond the size
  /// Blocks have come from other places of this file or from another file, so
  /// that a reader of the old content would see bytes of the new one if they
  /// were changed in place.
  bool has_moved_blocks = false;
};

/// By which a file that nobody wrote to since is known.
struct FileStamp {
  uint64_t size = 0;
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
};

/// Does a host show a file as it was left? Not every one has room for parts of
/// a second, or for more than 32 bits of them.
inline bool is_as_left(const FileStamp& found, const FileStamp& left) {
  const bool fits = left.mtime_sec > INT32_MIN && left.mtime_sec < INT32_MAX;
  const bool is_same_time =
      found.mtime_sec == left.mtime_sec &&
      (found.mtime_nsec == left.mtime_nsec || found.mtime_nsec == 0);
  return found.size == left.size && (!fits || is_same_time);
}

struct ObjectChange {
  enum class Kind {
    kMade,     // it had no name before
    kChanged,  // it had names before and has
    kGone,     // it has no name now
  };
  Kind kind = Kind::kChanged;
  ObjectId id;
  /// What the base image showed under this identity, if it did.
  NodeId source = kNoNode;
  Attributes attributes;              // as they are now; of kGone those before
  uint8_t attributes_changed = 0;     // AttributeBit
  std::optional<XattrSet> xattrs;     // none: as before
  std::optional<std::string> target;  // of a symlink; none: as before
  std::optional<ContentChange> content;  // of a regular file; none: as before
  std::optional<FileStamp> before;       // with content, of kChanged
  /// kGone: the inode is still in use, by a guest that has it open.
  bool is_kept = false;
};

/// One name of a directory that leads elsewhere than before.
struct NameChange {
  ObjectId directory;
  std::string name;
  std::optional<ObjectId> before;  // none: there was no such name
  std::optional<ObjectId> now;     // none: there is none
};

/// The names in a directory that is made or gone are all there, as made or
/// gone ones.
struct Changes {
  std::vector<ObjectChange> objects;  // by inode number; a number used again is
                                      // there twice: gone, then made
  std::vector<NameChange> names;

  bool empty() const { return objects.empty() && names.empty(); }
};

}  // namespace ovl
