// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/block_source.h"
#include "fsengine/base/result.h"
#include "fsengine/store/block_store.h"
#include "fsengine/store/generation.h"

namespace ovl {

/// Copies what a sealed generation says into the store, without a sync; zeros
/// over zeros of the base leave nothing there. Doing it again, after an error
/// too, is doing it once. For one thread at a time.
Status fold_generation(const Generation& generation, const BlockSource& base,
                       BlockStore& store);

}  // namespace ovl
