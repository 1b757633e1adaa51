// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/os.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/attribute_change.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

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
  /// Puts a file there that has some of what content() has, at its place:
  /// where, in order and whole blocks. Elsewhere it may have anything. Nothing:
  /// there is none. May be empty.
  std::function<Result<std::vector<ByteRange>>(NodeId, const At&)> begin = {};

  AttributeRules rules() const { return {pool, family, owner}; }
};

}  // namespace ovl
