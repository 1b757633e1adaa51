// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/block_source.h"
#include "images/ext_block_map.h"

namespace ovl {

/// EBUSY when the journal that `map` places on `device` holds transactions
/// that were not written in place, or a note of errors in the file system;
/// EUCLEAN when it is no journal.
Status check_journal_is_empty(const BlockSource& device, const BlockMap& map);

}  // namespace ovl
