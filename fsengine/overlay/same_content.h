// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>

#include "fsengine/base/block_source.h"
#include "fsengine/base/hole_map.h"
#include "fsengine/base/result.h"

namespace ovl {

/// True when both have the same bytes in `runs`, of which the last may reach
/// past their end. Reads both in bounded pieces, up to the first difference.
/// REQUIRES: a.size() == b.size(). Errors are those of reading.
Result<bool> same_content(const BlockSource& a, const BlockSource& b,
                          std::span<const DataRun> runs);

}  // namespace ovl
