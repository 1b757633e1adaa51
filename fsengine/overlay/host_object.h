// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>

#include "fsengine/base/block_source.h"
#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/layer.h"

namespace ovl {

/// Everything about `name` in directory `dir`: stat, attributes, target,
/// holes. "." is the directory itself. Errors name the call, not the path.
Result<LayerObject> read_host_object(int dir, const std::string& name);

/// The bytes of an open regular file that must stay as `stamp` says: checked
/// when opened and after each read.
Result<std::unique_ptr<BlockSource>> open_host_file(Fd fd, const Stamp& stamp);

}  // namespace ovl
