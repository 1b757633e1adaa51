// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/bitmap_check.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include <fmt/format.h>

#include "images/decode/bitmaps.h"

namespace ovl {

namespace {

class BitmapCheck {
 public:
  BitmapCheck(const Catalog& catalog, const BlockSource& view,
              const InodePass& inodes)
      : catalog_(catalog),
        inodes_(inodes),
        bitmaps_(catalog.base().image(), view) {}

  Status run();

 private:
  void note_used(const InodeChange& change);
  Status check(const InodeChange& change);
  Status check_blocks(const Mapping& mapping);
  Status check_block(uint64_t block, bool is_used);
  bool has_users_left(BlockNo xattr_block) const;

  const Catalog& catalog_;
  const InodePass& inodes_;
  Bitmaps bitmaps_;
  BlockSet used_;                    // by inodes that are mapped anew
  std::set<uint32_t> xattr_blocks_;  // that inodes got or let go
};

Status BitmapCheck::run() {
  for (const InodeChange& change : inodes_.changes())
    note_used(change);
  for (const InodeChange& change : inodes_.changes())
    OVL_TRY(check(change).in(
        [&change] { return fmt::format("inode {}", to_int(change.ino)); }));
  for (const uint32_t block : xattr_blocks_)
    OVL_TRY(check_block(
        block, used_.test(BlockNo{block}) || has_users_left(BlockNo{block})));
  return {};
}

void BitmapCheck::note_used(const InodeChange& change) {
  const uint32_t before = change.before.xattr_block;
  const uint32_t after = change.after.inode.xattr_block;
  if (after != 0)
    used_.add(BlockNo{after}, 1);
  if (before != after)
    xattr_blocks_.insert({before, after});
  if (change.is_remapped)
    for (const MapRun& run : change.after.mapping)
      used_.add(run.block(), run.count);
}

Status BitmapCheck::check(const InodeChange& change) {
  const bool is_free = change.after.inode.is_free();
  if (is_of_tree(change.ino) && change.before.is_free() != is_free &&
      OVL_TRY(bitmaps_.has_inode(change.ino)) == is_free)
    return fail(EUCLEAN, "the bitmap is wrong of it");
  if (!change.is_remapped)
    return {};
  OVL_TRY(check_blocks(change.after.mapping));
  return check_blocks(change.before_mapping);
}

Status BitmapCheck::check_blocks(const Mapping& mapping) {
  for (const MapRun& run : mapping)
    for (uint32_t i = 0; i < run.count; ++i) {
      const uint64_t block = uint64_t{run.device} + i;
      OVL_TRY(check_block(block, used_.test(BlockNo{block})));
    }
  return {};
}

Status BitmapCheck::check_block(uint64_t block, bool is_used) {
  if (block == 0 || OVL_TRY(bitmaps_.has_block(block)) == is_used)
    return {};
  return fail(EUCLEAN, fmt::format("the bitmap is wrong of block {}", block));
}

bool BitmapCheck::has_users_left(BlockNo xattr_block) const {
  return std::ranges::any_of(
      catalog_.users_of_xattrs(xattr_block),
      [this](Ino ino) { return inodes_.find(ino) == nullptr; });
}

}  // namespace

Status check_bitmaps(const Catalog& catalog, const BlockSource& view,
                     const InodePass& inodes) {
  return BitmapCheck(catalog, view, inodes).run();
}

}  // namespace ovl
