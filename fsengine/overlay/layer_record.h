// SPDX-License-Identifier: BSD-3-Clause
//
// What is kept of a layer, to know it again after a restart. Never the number
// of its device, which changes when the host boots.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/layer.h"

namespace ovl {

enum class LayerRole : uint8_t { kUpper, kLower, kDataOnly };

/// `upperdir` or `lowerdir`.
const char* parameter_of(LayerRole role);

struct RootIdentity {
  uint64_t ino = 0;
  Timestamp mtime;
  std::optional<Timestamp> birth;  // where the file system tells it
};

struct LayerRecord {
  LayerRole role = LayerRole::kLower;
  std::string path;
  RootIdentity root;
};

Result<RootIdentity> identify_root(const Layer& layer);

/// ESTALE, naming parameter and path, unless `now` is the directory that `kept`
/// tells of and, for a lower, names have not come and gone in it since. Those
/// of upper are ours to change, those of a data-only layer show nowhere.
Status check_root(const LayerRecord& kept, const LayerRecord& now);

}  // namespace ovl
