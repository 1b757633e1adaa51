// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/fold.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace ovl {
namespace {

constexpr size_t kMostBlocks = 256;  // copied at once

using Data = DirtyIndex::Data;

class Folder {
 public:
  Folder(const Generation& generation, BlockStore& store)
      : generation_(generation),
        store_(store),
        buffer_(kMostBlocks * kBlockSize) {}

  Status run() {
    const DirtyIndex& index = generation_.index();
    for (const ZeroExtents::Extent& zeros : index.large_zeros())
      OVL_TRY(store_.zero(zeros.first, zeros.count));
    for (uint32_t shard = 0; shard < DirtyIndex::kShards; ++shard) {
      OVL_TRY(fold_zeros(index.zeros_of(shard)));
      OVL_TRY(fold_data(index.data_of(shard)));
    }
    return {};
  }

 private:
  Status fold_zeros(std::span<const BlockNo> blocks) {
    while (!blocks.empty()) {
      size_t run = 1;
      while (run < blocks.size() &&
             to_int(blocks[run]) == to_int(blocks[0]) + run)
        ++run;
      OVL_TRY(store_.zero(blocks[0], run));
      blocks = blocks.subspan(run);
    }
    return {};
  }

  Status fold_data(std::span<const Data> data) {
    while (!data.empty()) {
      size_t run = 1;
      while (run < data.size() && run < kMostBlocks &&
             to_int(data[run].block) == to_int(data[0].block) + run)
        ++run;
      OVL_TRY(copy(data.first(run)));
      data = data.subspan(run);
    }
    return {};
  }

  // Blocks that follow each other on the device; in the log perhaps not.
  Status copy(std::span<const Data> blocks) {
    const auto bytes = std::span(buffer_).first(blocks.size() * kBlockSize);
    for (size_t i = 0; i < blocks.size();) {
      size_t run = 1;
      while (i + run < blocks.size() &&
             to_int(blocks[i + run].place) == to_int(blocks[i].place) + run)
        ++run;
      OVL_TRY(generation_.read(
          blocks[i].place, 0, bytes.subspan(i * kBlockSize, run * kBlockSize)));
      i += run;
    }
    return store_.write(blocks[0].block, bytes);
  }

  const Generation& generation_;
  BlockStore& store_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Status fold_generation(const Generation& generation, BlockStore& store) {
  return Folder(generation, store).run();
}

}  // namespace ovl
