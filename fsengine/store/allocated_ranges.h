// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

/// Blocks of a file, up to its end, that have space on the host's disk, or soon
/// will, in order; where its file system does not tell, those that have data.
Result<std::vector<BlockRange>> allocated_ranges(int fd);

}  // namespace ovl
