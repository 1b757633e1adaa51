// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/store/block_store.h"

namespace ovl {

/// The file that says what a store is (FORMAT.md, "The store").
struct StoreHeader {
  BaseIdentity base;
  BlockStore::Phase phase = BlockStore::Phase::kWriting;
};

/// ENOENT when there is none, EPROTO when it cannot be understood.
Result<StoreHeader> read_store_header(int directory);

/// Replaces it in one durable step.
Status write_store_header(Os& os, int directory, const StoreHeader& header);

/// No error when there is none.
Status remove_store_header(Os& os, int directory);

}  // namespace ovl
