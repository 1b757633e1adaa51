// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/result.h"
#include "images/layout.h"

namespace ovl {

/// Lays out `merged`, which was built over `lower` in the same pool: first
/// lower, then what only merged has, each tree from its root down, the
/// children of a directory one after the other in the order of their names.
/// Errors name the path: EFBIG for a file that is too large, EMLINK for too
/// many links, ENAMETOOLONG for a name or symlink target, ENOSPC for
/// attributes that do not fit a block, EINVAL for data that cannot be.
Result<Layout> build_layout(Tree lower, Tree merged, FsType type);

}  // namespace ovl
