// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include <fmt/format.h>

namespace ovl {

ExtFile::Piece ExtFile::piece_at(uint64_t offset, uint64_t length) const {
  const auto next = std::ranges::upper_bound(runs_, offset / kBlockSize, {},
                                             &MappedRun::file_block);
  if (next != runs_.begin()) {
    const MappedRun& run = *std::prev(next);
    const uint64_t into = offset - run.file_block * kBlockSize;
    const uint64_t bytes = run.count * kBlockSize;
    if (into < bytes)
      return {to_int(run.device) * kBlockSize + into,
              std::min(length, bytes - into), false};
  }
  if (next == runs_.end())
    return {0, length, true};
  return {0, std::min(length, next->file_block * kBlockSize - offset), true};
}

Status ExtFile::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const Piece piece = piece_at(offset, out.size());
    const auto part = out.first(static_cast<size_t>(piece.length));
    if (piece.is_hole)
      std::ranges::fill(part, std::byte{0});
    else
      OVL_TRY(device_.read(piece.device_offset, part));
    out = out.subspan(part.size());
    offset += piece.length;
  }
  return {};
}

namespace {

Result<std::string> checked_target(std::span<const std::byte> bytes) {
  std::string target(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (target.find('\0') != target.npos)
    return fail(EUCLEAN, "its target holds a NUL");
  return target;
}

}  // namespace

Result<std::string> read_target(const BlockSource& device,
                                const ExtInode& inode, const BlockMap* map) {
  const uint64_t size = inode.size();
  const uint64_t room =
      inode.is_fast_symlink() ? inode.pointers().size() : kBlockSize;
  if (size == 0 || size >= room)
    return fail(EUCLEAN, fmt::format("its target has {} bytes", size));
  const auto length = static_cast<size_t>(size);
  if (inode.is_fast_symlink())
    return checked_target(inode.pointers().first(length));
  if (map == nullptr || map->runs.empty() || map->data_end != 1)
    return fail(EUCLEAN, "its target has no block");
  std::array<std::byte, kBlockSize> block;
  OVL_TRY(device.read(to_int(map->runs[0].device) * kBlockSize, block));
  return checked_target(std::span(block).first(length));
}

}  // namespace ovl
