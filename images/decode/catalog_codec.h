// SPDX-License-Identifier: BSD-3-Clause
//
// Batches of a catalog to bytes and back (FORMAT.md, "The catalog").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "images/decode/catalog.h"

namespace ovl {

/// Which parts of a catalog a decode has changed.
struct CatalogDelta {
  std::vector<Ino> inodes;
  std::vector<BlockNo> names;  // blocks of directories, or of no longer one
};

/// Where a batch leads to.
struct CatalogPoint {
  uint64_t position = 0;  // of the log
  uint32_t transaction = 0;

  bool operator==(const CatalogPoint&) const = default;
};

inline constexpr size_t kBatchHeadBytes = 40;

/// The batch that brings a reader to what `catalog` says of `delta` now.
/// `number` is the catalog's.
std::vector<std::byte> encode_batch(const Catalog& catalog,
                                    const CatalogDelta& delta,
                                    const CatalogPoint& point, uint64_t number);

/// All that the catalog has.
CatalogDelta whole(const Catalog& catalog);

struct BatchHead {
  CatalogPoint point;
  uint32_t inodes = 0;
  uint32_t blocks = 0;
  uint64_t length = 0;
  uint64_t hash = 0;
};
/// REQUIRES: kBatchHeadBytes bytes.
BatchHead decode_batch_head(std::span<const std::byte> bytes);

/// Puts into `catalog` what the batch says. EUCLEAN, with the catalog in any
/// state, when the hash does not fit or a value is not allowed.
Status decode_batch(std::span<const std::byte> head,
                    std::span<const std::byte> content, uint64_t number,
                    Catalog& catalog);

}  // namespace ovl
