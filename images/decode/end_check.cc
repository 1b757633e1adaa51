// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/end_check.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace ovl {

namespace {

// A directory's is checked with its names.
bool has_end(const CatalogInode& inode) {
  return inode.is_regular() || S_ISLNK(inode.mode);
}

uint64_t data_blocks_end(const Mapping& mapping) {
  uint64_t end = 0;
  for (const MapRun& run : mapping)
    if (run.kind == RunKind::kData)
      end = std::max(end, uint64_t{run.file_block} + run.count);
  return end;
}

// One more block is no damage to e2fsck, either.
Status check_blocks(const Mapping& mapping, uint64_t size) {
  const uint64_t end = data_blocks_end(mapping);
  if (end > size / kBlockSize + 1)
    return fail(EUCLEAN,
                fmt::format("its size is {}, of {} blocks", size, end));
  return {};
}

// Of a symlink: zero, when there is no more of the target.
Result<std::byte> byte_behind(const BlockSource& view, const ExtInode& inode,
                              const Mapping& mapping) {
  const uint64_t size = inode.size();
  std::byte next{1};
  if (inode.is_fast_symlink()) {
    if (size < inode.pointers().size())
      next = inode.pointers()[size];
    return next;
  }
  const auto block = data_block(mapping, 0);
  if (block && size < kBlockSize)
    OVL_TRY(view.read(to_int(*block) * kBlockSize + size, {&next, 1}));
  return next;
}

Status check_end(const BlockSource& view, const InodeChange& change,
                 const Mapping& mapping) {
  const CatalogInode& now = change.after.inode;
  if (now.is_regular())
    return check_blocks(mapping, now.size);
  if (OVL_TRY(byte_behind(view, change.bytes, mapping)) != std::byte{0})
    return fail(EUCLEAN, fmt::format("its target is longer than {}", now.size));
  return {};
}

}  // namespace

Status check_ends(const Catalog& catalog, const BlockSource& view,
                  const InodePass& inodes) {
  for (const InodeChange& change : inodes.changes()) {
    if (!has_end(change.after.inode) ||
        (!change.is_remapped && change.written.empty() &&
         change.after.inode.size == change.before.size))
      continue;
    const Mapping mapping = change.after.has_base_mapping
                                ? OVL_TRY(catalog.mapping(change.ino))
                                : change.after.mapping;
    OVL_TRY(check_end(view, change, mapping).in([&change] {
      return fmt::format("inode {}", to_int(change.ino));
    }));
  }
  return {};
}

}  // namespace ovl
