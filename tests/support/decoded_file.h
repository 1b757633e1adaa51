// SPDX-License-Identifier: BSD-3-Clause
//
// The content of a regular file of a DecodedTree: its blocks, holes left out.
// What a change does not tell of stays as it was, so that a range that is
// missing in it shows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

class DecodedFile {
 public:
  /// A file as it is before any change: data in `runs`.
  static Result<DecodedFile> read(const BlockSource& source,
                                  const std::vector<DataRun>& runs);

  /// Brings the file to `change`, whose bytes are in `now`. EUCLEAN when the
  /// change contradicts itself.
  Status apply(const ContentChange& change, const BlockSource& now);

  uint64_t size() const { return size_; }
  /// Runs as a manifest has them: as long as can be.
  std::vector<DataRun> data_runs() const;
  /// What ContentHasher says.
  const std::string& hash() const;

 private:
  using Block = std::array<std::byte, kBlockSize>;

  Status load(const BlockSource& source, uint64_t first, uint64_t count);
  void cut(uint64_t size);
  void drop(uint64_t first, uint64_t end);

  uint64_t size_ = 0;
  std::map<uint64_t, Block> blocks_;
  mutable std::string hash_;  // empty: not known
};

}  // namespace ovl
