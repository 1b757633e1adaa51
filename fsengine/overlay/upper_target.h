// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <memory>

#include "fsengine/base/block_source.h"
#include "fsengine/base/os.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/attribute_change.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// What writing to upper works with. All of it outlives the writer.
struct UpperTarget {
  Os& os;
  const NodePool& pool;
  int upper;    // upperdir
  int staging;  // an empty directory of ours on upper's file system
  XattrFamily family = XattrFamily::kTrusted;
  OwnerPolicy owner = OwnerPolicy::kKeep;
  bool privileged = true;                      // permission bits do not bind us
  Unrepresentable* unrepresentable = nullptr;  // none: all is held back
  /// The bytes of a regular file of the guest's tree.
  std::function<Result<std::unique_ptr<BlockSource>>(NodeId)> content;
  /// Gives a file what another source than content() has of it in [at, end),
  /// without a copy; returns how many bytes from `at` on, 0 for none. May be
  /// empty.
  std::function<uint64_t(int fd, NodeId, uint64_t at, uint64_t end)> share = {};

  AttributeRules rules() const { return {pool, family, owner}; }
};

}  // namespace ovl
