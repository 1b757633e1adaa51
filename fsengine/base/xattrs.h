// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fsengine/base/interned.h"

namespace ovl {

/// One extended attribute: full name with its prefix (`user.a`,
/// `security.capability`, `system.posix_acl_access`), and its value in the
/// form that getxattr(2) returns, ACLs included.
struct Xattr {
  std::string name;
  std::string value;

  bool operator==(const Xattr&) const = default;
};

/// The attributes of one object, sorted by name.
using XattrSet = std::vector<Xattr>;

struct XattrSetHash {
  uint64_t operator()(const XattrSet& set) const;
};

/// A set in a XattrPool; 0 is the empty set.
enum class XattrsId : uint32_t {};

using XattrPool = Interned<XattrSet, XattrsId, XattrSetHash>;

/// The value of `name` in `set`, or nullptr.
const std::string* find_xattr(const XattrSet& set, std::string_view name);

}  // namespace ovl
