// SPDX-License-Identifier: BSD-3-Clause
//
// Write-back when the layout outlived earlier ones. The guest's tree is known
// relative to the base: the tree that the image was made from, whose upper
// objects earlier write-backs have replaced, moved or removed since. Here the
// same tree is told relative to upper as it is now, so that plan_upper and
// UpperStage find what they can keep. The essay is in the .cc.
//
//   base -> image, and what was written over it -> guest     (read back)
//   lowers + upper now -> merged, in the same pool           (merge_layer)
//   rebase_guest(merged, guest)   -> the guest's tree over merged
//     its root is merged's        -> nothing to do
//     otherwise: save the bytes of `lost` into the store, then
//   plan_upper({lower, merged, rebased.guest, ...}) -> UpperStage -> publish
//     then find `kept` again in upper, by the inode numbers of their `now`
//
// For one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/owner_policy.h"

namespace ovl {

/// Which object of upper now (of `merged`) an object of the base is; for what
/// is no directory.
using NowMap = std::unordered_map<NodeId, NodeId>;

struct RebaseInput {
  NodePool& pool;  // of all trees; nodes are added
  NodeId merged;   // upper as it is now over the lowers; upper's own root
  NodeId guest;    // kLayer nodes, and `source`s, are the base's and lowers'
  /// REQUIRES: every regular file of the base's upper that still provides its
  /// bytes is in it. Symlinks, devices and the like may be missing: they are
  /// compared anyhow. A lower's file may be in it when upper's copy of it is
  /// known to have its bytes, which saves reading both.
  const NowMap& now;
  bool redirect_dir = true;  // as in PlanInput
  OwnerPolicy owner = OwnerPolicy::kKeep;
  /// As UpperTarget::content: the bytes of a regular file. Asked for kGuest
  /// nodes (by host_ino, what the device has), and for kLayer nodes of merged
  /// and of the lowers.
  std::function<Result<std::unique_ptr<BlockSource>>(NodeId)> content;
  /// The guest's inode number of a kLayer node of `guest`.
  std::function<uint64_t(NodeId)> guest_ino;
};

struct Rebased {
  /// The guest's tree. kLayer nodes, and the `source`s of kGuest nodes, are
  /// merged's and the lowers'. Where nothing has to change in upper it is
  /// merged's node. A kGuest file keeps its host_ino.
  Tree guest;
  /// The regular files of the base's upper in `now`, each in one of both,
  /// sorted, but for metacopy files, whose bytes are in a lower. Once the plan
  /// is carried out, upper has the very file still, under the same inode
  /// number, if with other names and attributes (its time, too):
  std::vector<NodeId> kept;
  /// or has it no more, and its bytes with it.
  std::vector<NodeId> lost;
};

/// Reads content, changes nothing but the pool. Errors are those of content,
/// and ENOMEM when the pool is full.
Result<Rebased> rebase_guest(const RebaseInput& input);

/// The objects of upper in `tree` that are no directories, each once: what is
/// in `now` when nothing was written back yet (each under itself), and what
/// there is to find the kept ones among later, by host_ino.
std::vector<NodeId> upper_objects(const Tree& tree);

}  // namespace ovl
