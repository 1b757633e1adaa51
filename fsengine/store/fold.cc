// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/fold.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ovl {
namespace {

constexpr size_t kMostBlocks = 256;  // copied at once

using Item = DirtyIndex::Item;
using Kind = DirtyIndex::Kind;

class Folder {
 public:
  Folder(const Generation& generation, const BlockSource& base,
         std::span<const BlockRange> provided, BlockStore& store)
      : generation_(generation),
        base_(base),
        provided_(provided),
        store_(store) {}

  Status run() {
    const DirtyIndex& index = generation_.index();
    for (const ZeroExtents::Extent& extent : index.large_zeros())
      OVL_TRY(fold_extent(extent));
    for (uint32_t shard = 0; shard < DirtyIndex::kShards; ++shard)
      OVL_TRY(fold_items(index.items_of(shard)));
    return {};
  }

 private:
  // But for what was written in it afterwards.
  Status fold_extent(const ZeroExtents::Extent& extent) {
    const uint64_t end = to_int(extent.first) + extent.count;
    for (uint64_t at = to_int(extent.first); at < end;) {
      const auto run = generation_.index().find(BlockNo{at}, end - at);
      if (run.kind == Kind::kZeros)
        OVL_TRY(zero(at, run.count));
      at += run.count;
    }
    return {};
  }

  Status fold_items(std::span<const Item> items) {
    while (!items.empty()) {
      size_t run = 1;
      while (run < items.size() && run < kMostBlocks &&
             items[run].kind == items[0].kind &&
             is_provided(items[run]) == is_provided(items[0]) &&
             to_int(items[run].block) == to_int(items[0].block) + run)
        ++run;
      if (!is_provided(items[0]))
        OVL_TRY(fold_run(items.first(run)));
      items = items.subspan(run);
    }
    return {};
  }

  bool is_provided(const Item& item) const {
    if (provided_.empty() || item.kind == Kind::kZeros)
      return false;
    const auto after =
        std::ranges::upper_bound(provided_, item.block, {}, &BlockRange::first);
    return after != provided_.begin() &&
           to_int(item.block) < std::prev(after)->end();
  }

  // Blocks of one kind that follow each other on the device.
  Status fold_run(std::span<const Item> items) {
    switch (items[0].kind) {
      case Kind::kData:
        return copy(items);
      case Kind::kZeros:
        return zero(to_int(items[0].block), items.size());
      case Kind::kHome:
        store_.adopt(items[0].block, items.size());
        return {};
      case Kind::kNone:
        return {};
    }
    return {};
  }

  // In the log they may lie anywhere.
  Status copy(std::span<const Item> items) {
    buffer_.resize(std::max(buffer_.size(), items.size() * kBlockSize));
    const auto bytes = std::span(buffer_).first(items.size() * kBlockSize);
    for (size_t i = 0; i < items.size();) {
      size_t run = 1;
      while (i + run < items.size() &&
             to_int(items[i + run].place) == to_int(items[i].place) + run)
        ++run;
      OVL_TRY(generation_.read(
          items[i].place, 0, bytes.subspan(i * kBlockSize, run * kBlockSize)));
      i += run;
    }
    return store_.write(items[0].block, bytes);
  }

  Status zero(uint64_t first, uint64_t count) {
    const uint64_t end = first + count;
    for (uint64_t at = first; at < end;) {
      const uint64_t left = end - at;
      const uint64_t same =
          base_.zeros_at(at * kBlockSize, left * kBlockSize) / kBlockSize;
      if (same > 0)
        OVL_TRY(store_.release(BlockNo{at}, same));
      const uint64_t other = same > 0 ? 0 : other_than_zeros(at, left);
      if (other > 0)
        OVL_TRY(store_.zero(BlockNo{at}, other));
      at += same + other;
    }
    return {};
  }

  // Blocks from `at` on, at least one, up to zeros of the base.
  uint64_t other_than_zeros(uint64_t at, uint64_t most) const {
    uint64_t count = 1;
    while (count < most &&
           base_.zeros_at((at + count) * kBlockSize, kBlockSize) < kBlockSize)
      ++count;
    return count;
  }

  const Generation& generation_;
  const BlockSource& base_;
  const std::span<const BlockRange> provided_;
  BlockStore& store_;
  std::vector<std::byte> buffer_;  // as large as the longest run yet
};

}  // namespace

Status fold_generation(const Generation& generation, const BlockSource& base,
                       std::span<const BlockRange> provided,
                       BlockStore& store) {
  return Folder(generation, base, provided, store).run();
}

}  // namespace ovl
