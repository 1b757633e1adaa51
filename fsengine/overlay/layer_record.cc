// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/layer_record.h"

#include <cerrno>

namespace ovl {

const char* parameter_of(LayerRole role) {
  return role == LayerRole::kUpper ? "upperdir" : "lowerdir";
}

Result<RootIdentity> identify_root(const Layer& layer) {
  const LayerObject root = OVL_TRY(layer.root());
  return RootIdentity{root.ino, {root.mtime_sec, root.mtime_nsec}, root.birth};
}

Status check_root(const LayerRecord& kept, const LayerRecord& now) {
  const std::string what =
      std::string(parameter_of(kept.role)) + ": " + kept.path;
  const auto& birth = kept.root.birth;
  if (now.root.ino != kept.root.ino ||
      (birth && now.root.birth && *birth != *now.root.birth))
    return fail(ESTALE,
                what + ": not the directory that the device was made of");
  if (kept.role == LayerRole::kLower && now.root.mtime != kept.root.mtime)
    return fail(ESTALE, what + ": changed since the device was made of it");
  return {};
}

}  // namespace ovl
