// SPDX-License-Identifier: BSD-3-Clause
//
// A catalog on disk, which grows by what each checkpoint changed (FORMAT.md,
// "The catalog"). For one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "images/decode/catalog_codec.h"

namespace ovl {

class CatalogFile {
 public:
  /// Writes all of `catalog`, durably, as number `number`; one that is there
  /// is of a checkpoint that never was, and is replaced. `os` and `directory`
  /// outlive it.
  static Result<std::unique_ptr<CatalogFile>> create(Os& os, int directory,
                                                     uint64_t number,
                                                     const Catalog& catalog,
                                                     const CatalogPoint& point);

  /// Reads number `number` up to `point` into `catalog`, which is empty. ENOENT
  /// when there is none, EPROTO when it is of another version, ESTALE when it
  /// is another base image's, EUCLEAN when it is damaged. Changes nothing.
  static Result<std::unique_ptr<CatalogFile>> open(Os& os, int directory,
                                                   uint64_t number,
                                                   const CatalogPoint& point,
                                                   Catalog& catalog);

  /// Durable when it returns. After an error what was there counts, and the
  /// next call takes the place of this one.
  Status append(const Catalog& catalog, const CatalogDelta& delta,
                const CatalogPoint& point);

  /// Is it time for a new one?
  bool is_mostly_old() const { return end_ > 2 * first_end_ + kSlack; }
  uint64_t number() const { return number_; }

  /// No error when there is none.
  static Status remove(Os& os, int directory, uint64_t number);

 private:
  static constexpr uint64_t kSlack = 1 << 20;

  CatalogFile(Os& os, Fd fd, uint64_t number)
      : os_(os), fd_(std::move(fd)), number_(number) {}

  Status read(const CatalogPoint& point, Catalog& catalog);

  Os& os_;
  Fd fd_;
  uint64_t number_;
  uint64_t first_end_ = 0;  // of the first batch
  uint64_t end_ = 0;        // of what counts
};

}  // namespace ovl
