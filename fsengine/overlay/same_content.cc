// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/same_content.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "fsengine/base/units.h"

namespace ovl {
namespace {

constexpr uint64_t kPieceBytes = 256 << 10;

class Comparison {
 public:
  Comparison(const BlockSource& a, const BlockSource& b) : a_(a), b_(b) {}

  Result<bool> same_range(uint64_t at, uint64_t end) {
    while (at < end) {
      const auto size =
          static_cast<size_t>(std::min<uint64_t>(kPieceBytes, end - at));
      const auto ours = room(ours_, size);
      const auto theirs = room(theirs_, size);
      OVL_TRY(a_.read(at, ours));
      OVL_TRY(b_.read(at, theirs));
      if (!std::ranges::equal(ours, theirs))
        return false;
      at += size;
    }
    return true;
  }

 private:
  // Most files are smaller than a piece.
  static std::span<std::byte> room(std::vector<std::byte>& buffer,
                                   size_t size) {
    if (buffer.size() < size)
      buffer.resize(size);
    return std::span(buffer).first(size);
  }

  const BlockSource& a_;
  const BlockSource& b_;
  std::vector<std::byte> ours_;
  std::vector<std::byte> theirs_;
};

}  // namespace

Result<bool> same_content(const BlockSource& a, const BlockSource& b,
                          std::span<const DataRun> runs) {
  Comparison comparison(a, b);
  for (const DataRun& run : runs) {
    const uint64_t at = uint64_t{run.first_block} * kBlockSize;
    const uint64_t end = at + uint64_t{run.blocks} * kBlockSize;
    if (!OVL_TRY(comparison.same_range(at, std::min(end, a.size()))))
      return false;
  }
  return true;
}

}  // namespace ovl
