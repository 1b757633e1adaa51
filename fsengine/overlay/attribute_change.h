// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/base/xattrs.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/overlay/unrepresentable.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// Attributes to set on an object, as plain values: applying it twice is
/// applying it once.
struct AttributeChange {
  std::optional<Owner> owner;
  std::optional<uint32_t> mode;
  XattrSet set;                     // stored names
  std::vector<std::string> remove;  // stored names; may be missing already
  Timestamp mtime;
};

struct AttributeRules {
  const NodePool& pool;
  XattrFamily family = XattrFamily::kTrusted;
  OwnerPolicy owner = OwnerPolicy::kKeep;
};

/// All attributes of `node`, for an object that has none of them.
AttributeChange all_attributes(const AttributeRules& rules, const Node& node);

/// From the attributes of `from` to those of `node`; attributes of overlayfs
/// itself stay.
AttributeChange attribute_change(const AttributeRules& rules, const Node& from,
                                 const Node& node);

/// What to do about those that cannot be had; `path` is for messages, and only
/// asked for then.
struct AttributeLimits {
  Unrepresentable* policy = nullptr;  // none: all is held back
  std::function<std::string()> path = {};
};

/// Errors name the call.
Status apply_attributes(Os& os, const At& at, const AttributeChange& change,
                        const AttributeLimits& limits = {});

}  // namespace ovl
