// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/committed_view.h"

#include <algorithm>
#include <array>

#include "images/journal/big_endian.h"

namespace ovl {

namespace {

// The copy of a block that begins with the magic number does not.
void restore_magic(uint64_t into, std::span<std::byte> out) {
  std::array<std::byte, sizeof kJournalMagic> magic;
  store_be32(magic, 0, kJournalMagic);
  for (; into < magic.size() && !out.empty(); ++into, out = out.subspan(1))
    out[0] = magic[into];
}

}  // namespace

Status CommittedView::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const uint64_t in_place = in_place_at(offset, out.size());
    const uint64_t bytes =
        in_place != 0
            ? in_place
            : std::min<uint64_t>(kBlockSize - offset % kBlockSize, out.size());
    const auto part = out.first(bytes);
    if (in_place != 0)
      OVL_TRY(device_.read(offset, part));
    else
      OVL_TRY(read_copy(offset, part));
    out = out.subspan(bytes);
    offset += bytes;
  }
  return {};
}

uint64_t CommittedView::zeros_at(uint64_t offset, uint64_t length) const {
  return device_.zeros_at(offset, in_place_at(offset, length));
}

uint64_t CommittedView::in_place_at(uint64_t offset, uint64_t length) const {
  const auto next = log_.next_copy(BlockNo{offset / kBlockSize});
  if (!next)
    return length;
  const uint64_t end = to_int(*next) * kBlockSize;
  return end <= offset ? 0 : std::min(length, end - offset);
}

// REQUIRES: `out` is within one block, which has a copy.
Status CommittedView::read_copy(uint64_t offset,
                                std::span<std::byte> out) const {
  const auto copy = log_.find(BlockNo{offset / kBlockSize});
  const uint64_t into = offset % kBlockSize;
  OVL_TRY(device_.read(to_int(copy->at) * kBlockSize + into, out));
  if (copy->is_escaped)
    restore_magic(into, out);
  return {};
}

}  // namespace ovl
