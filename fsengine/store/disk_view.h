// SPDX-License-Identifier: BSD-3-Clause
//
// What the device holds: generations of the log, newest first, over the block
// store, over what upper provides, over the base image. It never changes but
// for what is added to a generation that is still growing: a view of sealed
// generations only is the device at one position of the log. Whoever holds it
// keeps the log's segments alive. Safe for concurrent use; the store and the
// sources outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "fsengine/base/block_source.h"
#include "fsengine/store/block_store.h"
#include "fsengine/store/generation.h"

namespace ovl {

class DiskView : public BlockSource {
 public:
  struct Below {
    const BlockStore& store;
    const BlockSource& base;
    const BlockSource* provider = nullptr;  // of what upper provides
  };
  /// Either generation may be null. `last` is the position that the view is
  /// at; for a growing one it means nothing.
  DiskView(std::shared_ptr<const Generation> newer,
           std::shared_ptr<const Generation> older, const Below& below,
           Position last)
      : generations_{std::move(newer), std::move(older)},
        below_(below),
        last_(last) {}

  uint64_t size() const override { return below_.base.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override;

  Position last() const { return last_; }

  enum class Where {
    kLog,
    kZeros,
    kStore,     // at home
    kProvided,  // in upper's files
    kBase,
  };
  struct Piece {
    Where where = Where::kBase;
    uint64_t count = 0;  // blocks
    const Generation* generation = nullptr;
    LogPlace place{};  // kLog
  };
  /// Where the blocks from `first` on are, at most `max`. REQUIRES: max > 0.
  Piece piece_at(BlockNo first, uint64_t max) const;

  /// True when anything but the base provides one of these blocks.
  bool is_written(BlockNo first, uint64_t count) const;

  const std::shared_ptr<const Generation>& newer() const {
    return generations_[0];
  }

 private:
  Status read_piece(const Piece& piece, uint64_t offset,
                    std::span<std::byte> out) const;

  const std::shared_ptr<const Generation> generations_[2];
  const Below below_;
  const Position last_;
};

}  // namespace ovl
