// SPDX-License-Identifier: BSD-3-Clause
//
// The manifest of a tree: everything that a promise covers, one line an
// object, so that two views of one tree (a kernel mount, an overlay mount, a
// plain directory, our own readers) are compared with diff(1). Not in it:
// inode and device numbers of the host, ctime, atime, and nlink and size of
// directories.
//
// A reader fills entries, in any order, and adds them to a Manifest. For one
// thread, except for ContentHasher objects, of which each thread has its own.
#pragma once

#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/hole_map.h"
#include "fsengine/base/result.h"
#include "fsengine/base/xattrs.h"

namespace ovl {

/// Hashes the bytes of one file, holes as zeros.
class ContentHasher {
 public:
  ContentHasher();

  void add(std::span<const std::byte> bytes);
  void add_zeros(uint64_t count);
  /// 32 hexadecimal digits (XXH3, 128 bits). Call once.
  std::string finish();

 private:
  struct FreeState {
    void operator()(XXH3_state_t* state) const;
  };
  std::unique_ptr<XXH3_state_t, FreeState> state_;
};

/// The hash of all of `source`.
Result<std::string> hash_content(const BlockSource& source);

/// The name of an object among those of its tree, for finding hard links:
/// entries with equal keys are one object.
struct LinkKey {
  uint64_t space = 0;   // a device number, a layer; any constant will do
  uint64_t number = 0;  // an inode number; 0: no other name can exist

  auto operator<=>(const LinkKey&) const = default;
};

struct ManifestEntry {
  std::string path;   // beneath the root, without a leading slash; "" is root
  uint32_t mode = 0;  // S_IFMT and permissions
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint32_t rdev_major = 0;  // devices
  uint32_t rdev_minor = 0;
  uint64_t size = 0;               // regular files and symlinks
  LinkKey link_key;                // not directories
  XattrSet xattrs;                 // any order
  std::string target;              // symlinks, raw bytes
  std::string content;             // regular files: what ContentHasher says
  bool is_immutable = false;       // regular files and directories: chattr +i
  bool is_append_only = false;     // and +a
  bool is_no_atime = false;        // +A, printed on request only
  bool is_synchronous = false;     // and +S
  std::vector<DataRun> data_runs;  // regular files; printed on request only
};

/// What is left out of, or added to, the lines.
struct ManifestFormat {
  bool owner = true;       // false: uid and gid print as `-`
  bool root_mtime = true;  // false: the root's mtime prints as `-`
  bool holes = false;      // true: a field with the data runs is added
  bool all_flags = false;  // true: A and S are among the flags, too
};

class Manifest {
 public:
  void add(ManifestEntry entry);

  /// Writes all lines, sorted by path as bytes. A line is, separated by one
  /// space, `-` where a field does not apply:
  ///
  ///   path  type  mode  uid  gid  mtime  rdev  size  links  xattrs  target
  ///   content  flags [runs]
  ///
  /// Paths and link groups begin with a slash; a link group is the smallest
  /// path of an object that has several. Type is one of f d l c b p s. Bytes
  /// up to 32, from 127, and backslash are octal escapes; so are `=` and `,`
  /// in names of xattrs, whose values are hexadecimal (`name=hex,...`).
  Status print(std::FILE* out, const ManifestFormat& format);

 private:
  std::vector<ManifestEntry> entries_;
};

}  // namespace ovl
