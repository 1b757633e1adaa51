// SPDX-License-Identifier: BSD-3-Clause
//
// A writable device over an Image, in memory: what was not written is what
// the image synthesizes, with made-up content for its files. For one thread.
#pragma once

#include <algorithm>
#include <array>
#include <map>

#include "fsengine/base/block_source.h"
#include "images/ext2_io.h"
#include "images/image.h"
#include "tests/support/image_file.h"

namespace ovl {

class MemoryDevice : public BlockSource {
 public:
  /// Both outlive the device.
  MemoryDevice(const NodePool& pool, const Image& image)
      : pool_(pool), image_(image) {}

  uint64_t size() const override { return image_.size(); }

  Status read(uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const uint64_t into = offset % kBlockSize;
      const auto part =
          out.first(std::min<size_t>(kBlockSize - into, out.size()));
      const Block block = load(offset / kBlockSize);
      std::copy_n(block.begin() + static_cast<ptrdiff_t>(into), part.size(),
                  part.begin());
      out = out.subspan(part.size());
      offset += part.size();
    }
    return {};
  }

  void write(uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const uint64_t into = offset % kBlockSize;
      const auto part =
          bytes.first(std::min<size_t>(kBlockSize - into, bytes.size()));
      Block block = load(offset / kBlockSize);
      std::ranges::copy(part, block.begin() + static_cast<ptrdiff_t>(into));
      written_[offset / kBlockSize] = block;
      bytes = bytes.subspan(part.size());
      offset += part.size();
    }
  }

  /// Back to what `other`, a copy of this, holds.
  void restore(const MemoryDevice& other) { written_ = other.written_; }

  BlockSink sink() {
    return {[this](uint64_t offset, std::span<const std::byte> bytes) {
              write(offset, bytes);
              return Status();
            },
            {}};
  }

  const std::map<uint64_t, std::array<std::byte, kBlockSize>>& written() const {
    return written_;
  }

  bool any_written(BlockNo first, uint64_t count) const {
    const auto at = written_.lower_bound(to_int(first));
    return at != written_.end() && at->first < to_int(first) + count;
  }

 private:
  using Block = std::array<std::byte, kBlockSize>;

  Block load(uint64_t number) const {
    const auto at = written_.find(number);
    return at == written_.end() ? load_base(number) : at->second;
  }

  Block load_base(uint64_t number) const {
    Block block;
    std::ranges::copy(
        image_bytes(pool_, image_, number * kBlockSize, kBlockSize),
        block.begin());
    return block;
  }

  const NodePool& pool_;
  const Image& image_;
  std::map<uint64_t, Block> written_;
};

}  // namespace ovl
