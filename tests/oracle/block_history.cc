// SPDX-License-Identifier: BSD-3-Clause
#include "tests/oracle/block_history.h"

#include <cerrno>

#include <fmt/format.h>

#include "fsengine/base/units.h"

namespace ovl {

void BlockHistory::remember(const Catalog& catalog) {
  const uint64_t end = blocks_for(catalog.base().image().size());
  content_.assign(end, {});
  for (uint64_t at = 0; at < end;) {
    const Catalog::Owner owner = catalog.owner_of(BlockNo{at}, end - at);
    if (owner.use == Catalog::Use::kContent)
      for (uint32_t i = 0; i < owner.count; ++i)
        content_[at + i] = {owner.ino, owner.file_block + i};
    at += owner.count;
  }
}

Status BlockHistory::check(const Changes& changes, const Catalog& now) {
  for (const ObjectChange& change : changes.objects)
    OVL_TRY(
        check(change, now).in(fmt::format("inode {}", to_int(change.id.ino))));
  remember(now);
  return {};
}

Status BlockHistory::check(const ObjectChange& change,
                           const Catalog& now) const {
  if (change.kind == ObjectChange::Kind::kGone) {
    const CatalogInode inode = OVL_TRY(now.inode(change.id.ino));
    const bool is_kept =
        !inode.is_free() && id_of(change.id.ino, inode) == change.id;
    if (is_kept != change.is_kept)
      return fail(EUCLEAN, "gone, and wrong about whether it is kept");
    return {};
  }
  if (!change.content)
    return {};
  const bool moved = OVL_TRY(has_moved(change.id.ino, now));
  if (moved != change.content->has_moved_blocks)
    return fail(EUCLEAN, moved ? "blocks have moved, which it does not say"
                               : "it says that blocks moved, and none has");
  return {};
}

Result<bool> BlockHistory::has_moved(Ino ino, const Catalog& now) const {
  const Mapping mapping = OVL_TRY(now.mapping(ino));
  for (const MapRun& run : mapping) {
    if (run.kind != RunKind::kData)
      continue;
    for (uint32_t i = 0; i < run.count; ++i) {
      const Content& old = content_[run.device + i];
      const bool is_here =
          old.ino == ino && old.file_block == run.file_block + i;
      if (to_int(old.ino) != 0 && !is_here)
        return true;
    }
  }
  return false;
}

}  // namespace ovl
