// SPDX-License-Identifier: BSD-3-Clause
//
// Is it the object that it was? An inode that was freed and used again has
// another generation, and all of its names were made anew. But the owner of a
// file may set the generation of one that stays (chattr -v), and then its names
// stay, too, in blocks that need not have been written. So with another
// generation and the same type it is another object only when each name that it
// had went and each that it has came. If not, it keeps the identity that it
// had, and the catalog remembers both generations.
#include "images/decode/name_pass.h"

namespace ovl {

void NamePass::settle_identities() {
  if (!has_others_)
    return;
  std::unordered_map<uint32_t, std::pair<int64_t, int64_t>> told;
  for (const ChangedName& name : names_) {
    if (is_another(name.now))
      ++told[to_int(name.now)].first;
    if (is_another(name.before))
      ++told[to_int(name.before)].second;
  }
  for (InodeChange& change : inodes_.changes()) {
    if (!change.is_another() ||
        change.before.type() != change.after.inode.type())
      continue;
    const auto [came, went] = told[to_int(change.ino)];
    const bool is_replaced = came == names_of(change.ino, change.after.inode) &&
                             went == names_of(change.ino, change.before);
    if (!is_replaced)
      change.after.inode.generation = change.before.generation;
  }
}

}  // namespace ovl
