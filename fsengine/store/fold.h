// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>

#include "fsengine/base/block_source.h"
#include "fsengine/base/result.h"
#include "fsengine/store/block_store.h"
#include "fsengine/store/generation.h"

namespace ovl {

/// Copies what a sealed generation says into the store, without a sync; zeros
/// over zeros of the base leave nothing there. Passes over the data of blocks
/// in `provided`, ranges in order that do not overlap. Doing it again, after an
/// error too, is doing it once. For one thread at a time.
Status fold_generation(const Generation& generation, const BlockSource& base,
                       std::span<const BlockRange> provided, BlockStore& store);

}  // namespace ovl
