// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "images/decode/catalog_file.h"

namespace ovl {

/// The catalog files of a directory, of which a mark elsewhere tells which
/// counts, and how far. For one thread at a time.
class KeptCatalog {
 public:
  struct Place {
    uint64_t number = 0;  // of the file; 0: none yet, nothing differs
    CatalogPoint point;
  };

  /// `os` and `directory` outlive it.
  KeptCatalog(Os& os, int directory) : os_(os), directory_(directory) {}

  /// What the mark tells of, into `catalog`, which is empty. Errors as of
  /// CatalogFile::open(). Changes nothing.
  Status read(const Place& place, Catalog& catalog);

  /// Writes down, durably, what `delta` says of `catalog`; returns what the
  /// mark is to tell. After an error the mark's place is to be read again.
  /// REQUIRES: `point` is beyond that of the mark.
  Result<Place> keep(const Catalog& catalog, const CatalogDelta& delta,
                     const CatalogPoint& point);

  /// REQUIRES: there is no mark, or it tells of none.
  static Status remove_all(Os& os, int directory);

  /// The mark tells of what was kept last: what it told of before goes.
  Status forget_old();

 private:
  Os& os_;
  const int directory_;
  std::unique_ptr<CatalogFile> file_;
  uint64_t old_ = 0;  // number of a file that no longer counts
};

}  // namespace ovl
