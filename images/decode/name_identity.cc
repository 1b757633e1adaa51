// SPDX-License-Identifier: BSD-3-Clause
//
// Is it the object that it was? An inode that was freed and used again was made
// at another time, and all of its names were made anew. Its generation, which
// is there to tell that, says less: the owner of a file may set it (chattr -v).
// So it counts only where an inode does not say when it was made. The time,
// too, can be set, by debugfs(8); of an object that stays its names stay then,
// in blocks that need not have been written. So one of the same type is another
// object only when each name that it had went and each that it has came. If
// not, it keeps the identity that it had, and the catalog remembers both.
//
// Two that were made within a tick of the guest's clock pass for one. No harm:
// identity says what need not be told again, and what is told is the difference
// of two states, whatever they are of.
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
