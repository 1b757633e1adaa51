// SPDX-License-Identifier: BSD-3-Clause
//
// A catalog in a directory, and the mark that tells which part of it counts,
// which is in memory here.
#pragma once

#include <memory>
#include <string>

#include "fsengine/base/fd.h"
#include "images/decode/catalog_file.h"
#include "tests/support/wrap_os.h"

namespace ovl {

class KeptCatalog {
 public:
  /// In a directory that is there; the catalog is the base image's.
  static Result<std::unique_ptr<KeptCatalog>> create(
      const std::string& directory, const Catalog& catalog);

  /// Writes down what `delta` says of `catalog`; the mark does not tell yet.
  /// REQUIRES: `point` is beyond that of the mark.
  Status keep(const Catalog& catalog, const CatalogDelta& delta,
              const CatalogPoint& point);

  /// The mark tells of what was kept last.
  Status tell();

  /// What a start finds into `catalog`, which is empty.
  Status read(Catalog& catalog);

 private:
  struct Mark {
    uint64_t number = 1;
    CatalogPoint point;
  };
  // No host crashes here.
  class UnsyncedOs : public WrapOs {
   public:
    Status fdatasync(int) override { return {}; }
    Status fsync(int) override { return {}; }
  };

  explicit KeptCatalog(Fd directory) : directory_(std::move(directory)) {}

  UnsyncedOs os_;
  const Fd directory_;
  std::unique_ptr<CatalogFile> file_;
  Mark mark_;
  Mark kept_;
};

}  // namespace ovl
