// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/device/provided_blocks.h"
#include "fsengine/store/disk.h"
#include "images/decode/block_set.h"
#include "images/decode/decoder.h"

namespace ovl {

/// Takes out of log and store what a guest wrote and has freed since, without
/// having told by a trim. The rule is in the .cc. For one thread at a time.
class FreedBlocks {
 public:
  /// What of it is looked for is worth a look at all that log and store have.
  static constexpr uint64_t kLeastWritten = (16 << 20) / kBlockSize;

  /// All outlives it.
  FreedBlocks(const Image& image, Disk& disk, ProvidedBlocks& provided)
      : image_(image), disk_(disk), provided_(provided) {}

  /// Blocks that the guest wrote; nothing: perhaps any.
  void note_written(const std::optional<std::vector<BlockRange>>& ranges);

  /// After a checkpoint of `view`, the sealed one that lives, which `decoder`
  /// decoded last. Writes up to it were noted.
  Status give_back(const DiskView& view, const Decoder& decoder);

  /// All of it at once. REQUIRES: `view` is of a file system that was
  /// unmounted, is what `catalog` says, and no client may come any more.
  Status give_back_all(const DiskView& view, const Catalog& catalog);

 private:
  struct Found {
    uint32_t last_running = 0;  // transaction that may have begun
    std::vector<BlockRange> blocks;
    BlockSet written;  // since
  };
  // A state of the guest's file system.
  struct State {
    const DiskView& view;
    const BlockSource& committed;
    const Catalog& catalog;
  };

  Result<std::vector<BlockRange>> freed_in(const State& state,
                                           const BlockRange& range) const;
  Status look(const State& state, uint32_t last_running);
  Status drop(const State& state);
  Status provide(const DiskView& view, const std::vector<BlockRange>& blocks);

  const Image& image_;
  Disk& disk_;
  ProvidedBlocks& provided_;
  std::optional<Found> found_;
  uint64_t written_ = 0;  // since the last look
  uint64_t kept_ = 0;     // blocks that log and store had then
};

}  // namespace ovl
