// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/size_check.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace ovl {

namespace {

uint64_t data_blocks_end(const Mapping& mapping) {
  uint64_t end = 0;
  for (const MapRun& run : mapping)
    if (run.kind == RunKind::kData)
      end = std::max(end, uint64_t{run.file_block} + run.count);
  return end;
}

}  // namespace

Status check_sizes(const Catalog& catalog, const InodePass& inodes) {
  for (const InodeChange& change : inodes.changes()) {
    const CatalogInode& now = change.after.inode;
    if (!now.is_regular() ||
        (!change.is_remapped && now.size == change.before.size))
      continue;
    const uint64_t end =
        data_blocks_end(change.after.has_base_mapping
                            ? OVL_TRY(catalog.base().mapping(change.ino))
                            : change.after.mapping);
    // One more block is no damage to e2fsck, either.
    if (end > now.size / kBlockSize + 1)
      return fail(EUCLEAN, fmt::format("inode {}: its size is {}, of {} blocks",
                                       to_int(change.ino), now.size, end));
  }
  return {};
}

}  // namespace ovl
