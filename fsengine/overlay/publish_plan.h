// SPDX-License-Identifier: BSD-3-Clause
//
// How staged objects get into upper, as plain values: it is written down
// before the first step (FORMAT.md, "The plan"), so that whoever finds it can
// drive it to its end, however far it had come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/attribute_change.h"

namespace ovl {

/// One change of a name in a directory that upper has.
struct NameStep {
  enum class Kind : uint8_t {
    kAdd,       // the name is free
    kReplace,   // of a non-directory by a non-directory
    kExchange,  // what was there goes to staging
    kRemove,    // goes to staging
  };
  Kind kind = Kind::kAdd;
  std::string dir;  // path beneath upper
  std::string name;
  std::string staged;  // name in staging: now, or (kRemove) afterwards
  uint64_t ino = 0;    // of the staged object, or of the one to remove
};

/// A directory that upper has elsewhere then: it waits in staging meanwhile.
struct MoveStep {
  std::string dir;  // path beneath upper, before any step
  std::string name;
  std::string staged;  // name in staging, from where a NameStep takes it
  uint64_t ino = 0;
};

/// Content of a file that stays the same file.
struct PatchStep {
  std::string path;    // when all names stand
  uint64_t ino = 0;    // of the file
  uint64_t size = 0;   // that it is to have
  std::string staged;  // a file in staging with the data, at its offsets
  std::vector<FileRange> ranges;  // as in ContentChange
};

/// Attributes to settle in upper once all names stand.
struct AttributeStep {
  std::string path;
  AttributeChange change;
  uint64_t ino = 0;  // of a file that upper had; of others 0
};

/// A directory whose permissions bar us while steps are carried out in it.
struct UnlockStep {
  std::string path;  // before any step, or when all names stand
  uint64_t ino = 0;
  uint32_t mode = 0;  // to give it meanwhile
};

struct PublishPlan {
  uint64_t upper_ino = 0;  // of upper's root: a plan is for no other
  std::vector<UnlockStep> unlocks;
  std::vector<MoveStep> moves;  // deepest first
  std::vector<NameStep> names;  // additions before what hides
  std::vector<PatchStep> patches;
  std::vector<AttributeStep> attributes;  // deepest first

  bool empty() const {
    return names.empty() && patches.empty() && attributes.empty();
  }
};

/// Carries out what of `plan` is not done yet, in order, and syncs upper.
/// Doing it twice is doing it once. ESTALE for another upper, and when upper or
/// staging hold neither the state before a step nor the one after it.
Status publish(Os& os, int upper, int staging, const PublishPlan& plan,
               Unrepresentable* unrepresentable = nullptr);

/// The bytes of a plan file, and back; EPROTO for what is no such file.
std::string encode_plan(const PublishPlan& plan);
Result<PublishPlan> decode_plan(std::span<const std::byte> encoded);

}  // namespace ovl
