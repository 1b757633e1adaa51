// SPDX-License-Identifier: BSD-3-Clause
//
// Directory trees of the host as values, by inode number: what a loss of power
// would leave is made as one, and then made true of the real trees, whose
// objects keep their inode numbers. For the product knows its objects by them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "tests/support/host_op.h"

namespace ovl {

inline constexpr uint64_t kHostPage = 4096;
using HostPage = std::array<std::byte, kHostPage>;

struct HostObject {
  HostAttributes attributes = {};
  std::map<std::string, std::string> xattrs = {};
  uint64_t size = 0;                           // of a regular file
  std::map<uint64_t, HostPage> pages = {};     // that are not zeros
  std::map<std::string, uint64_t> names = {};  // of a directory

  bool is_dir() const { return S_ISDIR(attributes.mode); }
  bool is_file() const { return S_ISREG(attributes.mode); }
  bool operator==(const HostObject&) const = default;
};

class HostTree {
 public:
  /// Whether the part of a write that lies there is done.
  using Keep = std::function<bool(uint64_t offset)>;

  /// As they are on disk; with `links`, a descriptor of each object (O_PATH).
  static HostTree read(const std::set<std::string>& roots,
                       std::map<uint64_t, Fd>* links = nullptr);

  /// An object that was made exists, though its name may be lost.
  void make(const HostOp& op);
  /// All of `op`; not a sync.
  void apply(const HostOp& op);
  /// Of a write, what `keep` says of each `unit` bytes.
  void apply_torn(const HostOp& op, uint64_t unit, const Keep& keep);
  /// Drops what has no name.
  void drop_nameless();

  const std::map<uint64_t, HostObject>& objects() const { return objects_; }
  const std::set<uint64_t>& roots() const { return roots_; }
  /// What is not the same, one line an object; times of files are compared, if
  /// at all, by who asks.
  std::vector<std::string> difference(const HostTree& other) const;

 private:
  void add(const std::string& path, std::map<uint64_t, Fd>* links);
  void apply_to_names(const HostOp& op);
  void write(HostObject& file, uint64_t offset, const std::byte* bytes,
             uint64_t length);
  void resize(HostObject& file, uint64_t size);
  void zero(HostObject& file, uint64_t begin, uint64_t end);

  std::set<uint64_t> roots_;
  std::map<uint64_t, HostObject> objects_;
};

/// Makes the trees at `roots` what `wanted` is; every object of it is in them
/// or in `morgue`, which is empty afterwards. What is right already is not
/// touched, so that its times of status change stay.
void put_host_tree(const HostTree& wanted, const std::set<std::string>& roots,
                   const std::string& morgue);

}  // namespace ovl
