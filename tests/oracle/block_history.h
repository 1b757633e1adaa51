// SPDX-License-Identifier: BSD-3-Clause
//
// Whose each block of the device was at the last decode: what a change says of
// blocks that moved, and of inodes that are kept, is compared with that, block
// by block. Takes the catalog's word for what it is now.
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "images/decode/catalog.h"

namespace ovl {

class BlockHistory {
 public:
  explicit BlockHistory(const Catalog& catalog) { remember(catalog); }

  /// EUCLEAN, naming the object, when `changes`, which led to `now` from what
  /// is remembered, say something else. Then remembers `now`.
  Status check(const Changes& changes, const Catalog& now);

 private:
  struct Content {
    Ino ino{};  // 0: of nobody
    uint32_t file_block = 0;
  };

  void remember(const Catalog& catalog);
  Status check(const ObjectChange& change, const Catalog& now) const;
  Result<bool> has_moved(Ino ino, const Catalog& now) const;

  std::vector<Content> content_;  // by block of the device
};

}  // namespace ovl
