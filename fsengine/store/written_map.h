// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

/// One bit for each block of the device, in a shared mapping of a file, so
/// that it survives the death of the process. Safe for concurrent use.
class WrittenMap {
 public:
  /// Bytes of the file that holds the bits of `blocks` blocks.
  static uint64_t file_size(uint64_t blocks);

  /// Maps `file`. REQUIRES: it has file_size(blocks) bytes, none a hole (a
  /// store to a hole of a full disk would kill the process).
  static Result<std::unique_ptr<WrittenMap>> map(const Fd& file,
                                                 uint64_t blocks);
  ~WrittenMap();
  WrittenMap(const WrittenMap&) = delete;
  WrittenMap& operator=(const WrittenMap&) = delete;

  bool test(BlockNo block) const;
  void set(BlockNo first, uint64_t count);
  bool any(BlockNo first, uint64_t count) const;

  /// How many blocks from `first` on have the state of `first`, at most `max`.
  uint64_t run_length(BlockNo first, uint64_t max) const;

  uint64_t count() const;

 private:
  WrittenMap(uint64_t* words, uint64_t blocks)
      : words_(words), blocks_(blocks) {}

  uint64_t* const words_;
  const uint64_t blocks_;
};

}  // namespace ovl
