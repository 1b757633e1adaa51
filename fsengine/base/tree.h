// SPDX-License-Identifier: BSD-3-Clause
//
// The value that the folders share: a file tree.
//
// Nodes live in a NodePool and never change once a tree was built from them,
// so trees share what they have in common: the merge of the lowers, the merge
// of upper over it, and the tree that the guest left are three roots in one
// pool, and "nothing changed below here" is one comparison of two NodeIds.
// A node has no parent and no name of its own: hard links are several entries
// with one node. Building is for one thread at a time (scanners lock the
// pool); reading is for any.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "fsengine/base/hole_map.h"
#include "fsengine/base/string_pool.h"
#include "fsengine/base/xattrs.h"

namespace ovl {

enum class NodeId : uint32_t {};
inline constexpr NodeId kNoNode{UINT32_MAX};
constexpr uint32_t to_int(NodeId id) {
  return static_cast<uint32_t>(id);
}

/// One name in a directory.
struct Entry {
  StrRef name{};
  NodeId node = kNoNode;
};

/// A device number: 12 bits of major, 20 of minor, as in the kernel.
struct DeviceNo {
  uint32_t packed;

  static DeviceNo of(uint32_t major, uint32_t minor) {
    return {major << 20 | (minor & 0xfffff)};
  }
  uint32_t major_no() const { return packed >> 20; }
  uint32_t minor_no() const { return packed & 0xfffff; }
  bool operator==(const DeviceNo&) const = default;
};

/// Where a node came from.
enum class Origin : uint8_t {
  kLayer,  // a layer's object: layer, host_dir, host_name, host_ino tell which
  kGuest,  // the guest made or changed it: host_ino is its inode number
};

/// Facts of a layer's object that the merge acts on and no tree shows.
enum NodeMark : uint8_t {
  kMarkNone = 0,
  kMarkWhiteout = 1,    // hides the name below; chr 0:0 or xattr form
  kMarkOpaque = 2,      // a directory that hides what is below
  kMarkUnreadable = 4,  // a directory that could not be listed
  kMarkMetacopy = 8,    // a file whose bytes are in a lower layer
};

/// Inode flags that a tree carries. The last two no layer's object has yet.
enum NodeFlag : uint8_t {
  kFlagNone = 0,
  kFlagImmutable = 1,
  kFlagAppend = 2,
  kFlagNoAtime = 4,
  kFlagSync = 8,
};

struct Node {
  uint64_t size = 0;  // bytes of a regular file or symlink, otherwise 0
  int64_t mtime_sec = 0;
  uint64_t host_ino = 0;           // see Origin
  const Entry* entries = nullptr;  // of a directory, sorted by name as bytes
  uint32_t entry_count = 0;
  uint32_t mtime_nsec = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  XattrsId xattrs{};  // what the guest sees: private ones are not in it
  union {
    HoleMapId holes{};  // regular file
    StrRef target;      // symlink
    DeviceNo rdev;      // character and block device
    NodeId lower;       // directory: what it is merged with, or kNoNode
  };
  NodeId source = kNoNode;    // kGuest: the node this is a newer state of
                              // kLayer metacopy file: the one with its bytes
  NodeId host_dir = kNoNode;  // kLayer: the layer's directory; none at a root
  StrRef host_name{};         // kLayer: a name of it there
  uint16_t layer = 0;         // kLayer: index into the stack, 0 is upper
  uint16_t mode = 0;          // S_IFMT and permissions
  Origin origin = Origin::kLayer;
  uint8_t marks = kMarkNone;
  bool content_changed = false;  // kGuest: bytes or holes are not source's
  StrRef redirect{};             // kLayer: see has_redirect
  bool has_redirect = false;     // of a directory or a metacopy file
  uint8_t flags = kFlagNone;
  uint32_t ctime_tag = 0;  // kLayer: see ctime_tag_of; 0: not known

  bool is_dir() const { return S_ISDIR(mode); }
  bool is_regular() const { return S_ISREG(mode); }
  bool is_symlink() const { return S_ISLNK(mode); }
  bool is_device() const { return S_ISCHR(mode) || S_ISBLK(mode); }
};

/// Owns nodes and all they refer to. Ids are dense, from 0, in the order of
/// add(). References stay valid.
class NodePool {
 public:
  NodeId add(const Node& node);
  const Node& operator[](NodeId id) const { return nodes_[to_int(id)]; }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }

  /// For the builder of a node, before any tree that holds it is read.
  Node& mutable_node(NodeId id) { return nodes_[to_int(id)]; }

  /// Sorts `entries` by name, copies them into the pool, and makes them the
  /// entries of `directory`.
  void set_entries(NodeId directory, std::vector<Entry> entries);

  /// Room for entries that nodes are to have, for as long as the pool lives.
  std::span<Entry> new_entries(size_t count);

  std::span<const Entry> entries(const Node& directory) const {
    return {directory.entries, directory.entry_count};
  }
  std::span<const Entry> entries(NodeId directory) const {
    return entries((*this)[directory]);
  }
  /// The node called `wanted` in `directory`, or kNoNode. O(log n).
  NodeId child(NodeId directory, std::string_view wanted) const;

  std::string_view name(const Entry& entry) const {
    return strings.get(entry.name);
  }

  StringPool strings;
  XattrPool xattrs;
  HoleMapPool hole_maps;

 private:
  std::deque<Node> nodes_;
  std::vector<std::unique_ptr<Entry[]>> entry_arrays_;
};

/// A tree in a pool that outlives it.
struct Tree {
  const NodePool& pool;
  NodeId root;
};

/// For a guest's newer state of `id`, so far the same in all that a tree shows
/// but entries, of which it has none.
Node newer_state(const NodePool& pool, NodeId id, uint64_t guest_ino);

/// True when the type in `mode` is one that a file system has.
bool has_known_type(uint32_t mode);

/// True when mode, owner, times, flags, device number and attributes agree;
/// size, content, target and names are not looked at.
bool same_attributes(const Node& a, const Node& b);

/// Where a file has data, in blocks: its hole map, or one run over its size.
std::vector<DataRun> data_runs(const NodePool& pool, const Node& file);

/// The path of a kLayer node beneath its layer's root, without a leading
/// slash; "" for the root.
std::string host_path(const NodePool& pool, const Node& node);

}  // namespace ovl
