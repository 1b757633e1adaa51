// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/overlay/stack.h"
#include "fsengine/store/disk_view.h"
#include "images/decode/decoder.h"
#include "images/image.h"

namespace ovl {

/// Which bytes of a guest's files are still those of a lower's file, for no
/// block of them was written. For one thread at a time.
class LowerParts {
 public:
  /// Both outlive it.
  LowerParts(const Stack& stack, const Image& image)
      : stack_(stack), image_(image) {}

  /// From now on the catalog of `decoder` says where the guest's files are, and
  /// `view`, which it decoded last, what was written. Both outlive the calls of
  /// at().
  void begin(const Decoder& decoder, const DiskView& view);

  struct Part {
    NodeId node = kNoNode;  // the lower's file; none: these are no lower's
    uint64_t offset = 0;    // in it
    uint64_t length = 0;    // whole blocks
  };
  /// Whose is what file `ino` has from `at` on, in a row, up to `end` at most?
  /// The last bytes of a lower's file, when they are no whole block, are told
  /// to be no lower's. REQUIRES: both are of whole blocks, at < end.
  Part at(Ino ino, uint64_t at, uint64_t end);

 private:
  Part part_of(BlockNo block, uint64_t blocks) const;
  const Mapping* mapping_of(Ino ino);

  const Stack& stack_;
  const Image& image_;
  const Decoder* decoder_ = nullptr;
  const DiskView* view_ = nullptr;
  Ino ino_{};  // whose mapping is here
  Mapping mapping_;
};

}  // namespace ovl
