// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "fsengine/base/result.h"
#include "fsengine/overlay/layer.h"

namespace ovl {

/// Everything about `name` in directory `dir`: stat, attributes, target,
/// holes. "." is the directory itself. A name that something is mounted over
/// is not looked into: see LayerObject. Errors name the call, not the path.
Result<LayerObject> read_host_object(int dir, const std::string& name);

/// The extended attributes of a name, sorted: those that a guest may be shown,
/// by their stored names.
Result<XattrSet> read_host_xattrs(int dir, const std::string& name);

}  // namespace ovl
