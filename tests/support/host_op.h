// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fsengine/base/os.h"

namespace ovl {

/// What the host keeps of an object beside its content and its names.
struct HostAttributes {
  uint32_t mode = 0;  // with the type
  uint32_t uid = 0;
  uint32_t gid = 0;
  Timestamp mtime = {};

  static HostAttributes of(const struct stat& st) {
    return {st.st_mode,
            st.st_uid,
            st.st_gid,
            {st.st_mtim.tv_sec, static_cast<uint32_t>(st.st_mtim.tv_nsec)}};
  }
  bool operator==(const HostAttributes&) const = default;
};

/// An operation on the host's file system, with what it left behind. Objects
/// are known by inode number, under whatever name they were reached.
struct HostOp {
  enum class Kind {
    // Of names.
    kMake,    // `object`, which is new, is `name` in `dir`
    kLink,    // `object` is `name` in `dir`, too
    kRemove,  // `name` in `dir`, which was `object`
    kRemoveDir,
    kRename,    // `object` from `name` in `dir` to `to_name` in `to_dir`
    kExchange,  // the same, and what was there back
    // Of one object's inode.
    kAttributes,
    kSetXattr,     // `name` is `bytes`
    kRemoveXattr,  // `name`
    kTruncate,     // to `length`
    kPunch,        // `length` bytes at `offset`
    // Of bytes.
    kWrite,
    kStore,  // a write that power may tear anywhere
    // What makes earlier ones durable.
    kSync,      // all of `object`
    kSyncData,  // its bytes, and what it takes to find them
    kSyncAll,
  };

  Kind kind{};
  uint64_t object = 0;
  uint64_t dir = 0;
  uint64_t to_dir = 0;
  std::string name = {};
  std::string to_name = {};
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<std::byte> bytes = {};
  HostAttributes after = {};    // of `object`, unless the kind is of names
  Timestamp dir_mtime = {};     // afterwards
  Timestamp to_dir_mtime = {};  // afterwards
  bool is_doomed = false;       // its sync failed: its pages count as clean

  bool is_of_names() const { return kind <= Kind::kExchange; }
  bool is_of_bytes() const {
    return kind == Kind::kWrite || kind == Kind::kStore;
  }
  bool is_of_size() const {
    return kind == Kind::kTruncate || kind == Kind::kPunch;
  }
  bool is_sync() const { return kind >= Kind::kSync; }
};

}  // namespace ovl
