// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/result.h"
#include "fsengine/store/block_store.h"
#include "fsengine/store/generation.h"

namespace ovl {

/// Copies what a sealed generation says into the store, without a sync. Doing
/// it again, after an error too, is doing it once. For one thread at a time.
Status fold_generation(const Generation& generation, BlockStore& store);

}  // namespace ovl
