// SPDX-License-Identifier: BSD-3-Clause
//
// The upper directory as a pure function of trees: what must stand in it so
// that overlayfs shows the guest's tree over the lowers. Nothing on disk is
// looked at. The essay is in the .cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/owner_policy.h"

namespace ovl {

/// One name in a directory of upper.
struct WantedName {
  enum class Kind {
    kWhiteout,  // hides the name of a lower
    kFile,      // `node`, not a directory, in full
    kDir,       // dirs[dir]
    kKeep,      // what upper has there now, untouched with all below it
    kNothing,   // upper has no such name
  };
  std::string_view name;
  Kind kind = Kind::kFile;
  NodeId node = kNoNode;
  uint32_t dir = 0;
  /// In a partial directory: which object of upper has the name until then; 0:
  /// none, or a whiteout.
  uint64_t ino_before = 0;
  /// kFile: without ours, another object of a lower would show.
  bool hides_lower = false;

  /// What is left of it when upper cannot have its object.
  WantedName without_object() const {
    WantedName rest = *this;
    rest.kind = hides_lower ? Kind::kWhiteout : Kind::kNothing;
    return rest;
  }
};

/// One directory of upper.
struct WantedDir {
  NodeId node = kNoNode;   // the guest's directory
  NodeId lower = kNoNode;  // the lower directory that shows through it
  uint32_t parent = 0;     // index of its directory; its own for the root
  std::string_view name;
  bool wanted = true;    // false: shows through, nothing stands in upper
  bool kept = false;     // upper has this very directory
  bool partial = false;  // kept: what `names` says nothing of stays as it is
  bool moved = false;    // kept: it stands elsewhere until then
  bool opaque = false;   // cut off what a lower has at its name
  std::string redirect;  // absolute path in the lowers, when not at its place
  std::vector<WantedName> names;
};

/// Content that a file of upper, which stays the same file, is to have.
struct WantedPatch {
  NodeId node = kNoNode;  // its new state
  uint32_t dir = 0;       // a name that it will have
  std::string_view name;
  ContentChange content;
};

struct UpperPlan {
  std::vector<WantedDir> dirs;  // parents before children; [0] is the root
  std::vector<WantedPatch> patches;

  /// Path of dirs[index] beneath the root of upper; "" for the root.
  std::string path(uint32_t index) const;
};

struct PlanInput {
  Tree lower;   // the merge of the lowers alone
  Tree merged;  // what the guest's tree was made from
  Tree guest;
  bool redirect_dir = true;  // false: copy moved lower directories in full
  OwnerPolicy owner = OwnerPolicy::kKeep;
};

UpperPlan plan_upper(const PlanInput& input);

/// The layer's object that `node` is, or is a newer state of; kNoNode for one
/// that the guest made.
NodeId layer_object(const NodePool& pool, NodeId node);

/// True for an object of upper itself.
bool is_upper_object(const NodePool& pool, NodeId node);

/// True when `id`, not a directory, can be upper's own object for it, of
/// which only attributes and names change. A metacopy file that the guest
/// touched is written in full.
bool keeps_upper_object(const NodePool& pool, NodeId id);

/// Do the attributes that upper can carry under `owner` agree? The host's
/// symlinks have no permissions of their own.
bool same_carried_attributes(const Node& a, const Node& b, OwnerPolicy owner);

}  // namespace ovl
