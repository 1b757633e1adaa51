// SPDX-License-Identifier: BSD-3-Clause
//
// Are names and inodes one tree? The catalog was one, so only what changed can
// break it: a name that leads nowhere, links that are not the names, a
// directory with two names, or one that is beneath itself.
#include <ext2fs/ext2fs.h>

#include <cerrno>

#include <fmt/format.h>

#include "images/decode/name_pass.h"

namespace ovl {

Status NamePass::check_names() {
  for (const ChangedName& name : names_)
    OVL_TRY(count_name(name).in([&name] {
      return fmt::format("directory {}: name '{}'", to_int(name.directory),
                         one_line(name.name));
    }));
  OVL_TRY(check_links());
  return check_parents();
}

Status NamePass::count_name(const ChangedName& name) {
  if (to_int(name.now) != 0) {
    OVL_TRY(check_target(name));
    Counts& counts = counts_[to_int(name.now)];
    ++counts.added;
    counts.parent = name.directory;
    if (OVL_TRY(inodes_.inode(name.now)).is_dir())
      ++counts_[to_int(name.directory)].subdirs_added;
  }
  if (to_int(name.before) != 0) {
    ++counts_[to_int(name.before)].removed;
    if (OVL_TRY(catalog_.inode(name.before)).is_dir())
      ++counts_[to_int(name.directory)].subdirs_removed;
  }
  return {};
}

Status NamePass::check_target(const ChangedName& name) const {
  const Image& image = catalog_.base().image();
  const uint64_t inodes = image.groups() * image.inodes_per_group();
  if (to_int(name.now) > inodes || to_int(name.now) < EXT2_GOOD_OLD_FIRST_INO)
    return fail(EUCLEAN,
                fmt::format("inode {} is no file's", to_int(name.now)));
  const CatalogInode target = OVL_TRY(inodes_.inode(name.now));
  if (!target.has_names())
    return fail(EUCLEAN,
                fmt::format("inode {} is not in use", to_int(name.now)));
  if (name.file_type != 0 && name.file_type != ext_file_type(target.mode))
    return fail(EUCLEAN,
                fmt::format("inode {} is of another type", to_int(name.now)));
  return {};
}

Status NamePass::check_links() const {
  for (const auto& [ino, counts] : counts_)
    OVL_TRY(check_links_of(Ino{ino}));
  for (const InodeChange& change : inodes_.changes())
    if (is_of_tree(change.ino) && !counts_.contains(to_int(change.ino)))
      OVL_TRY(check_links_of(change.ino));
  return {};
}

Status NamePass::check_links_of(Ino ino) const {
  const auto found = counts_.find(to_int(ino));
  const Counts counts = found == counts_.end() ? Counts{} : found->second;
  const InodeChange* change = inodes_.find(ino);
  const CatalogInode now = OVL_TRY(inodes_.inode(ino));
  const CatalogInode before = change == nullptr ? now : change->before;
  const auto wrong = [&] {
    return fail(EUCLEAN, fmt::format("inode {}: it has {} links, and got {} "
                                     "names and lost {} of {}",
                                     to_int(ino), now.links, counts.added,
                                     counts.removed, before.links));
  };
  const bool is_another = change != nullptr && change->is_another();
  const int64_t names_now = names_of(ino, now);
  const int64_t names_before = names_of(ino, before);
  if (is_another
          ? names_now != counts.added || names_before != counts.removed
          : names_now - names_before != int64_t{counts.added} - counts.removed)
    return wrong();
  if (!now.is_dir() || !now.has_names() || now.links == 1)
    return {};
  const bool is_made = is_another || !before.has_names();
  const int64_t subdirs =
      int64_t{counts.subdirs_added} - (is_made ? 0 : counts.subdirs_removed);
  const int64_t links_before = is_made ? 2 : before.links;
  if (links_before != 1 && now.links - links_before != subdirs)
    return fail(EUCLEAN,
                fmt::format("inode {}: it has {} links, and {} "
                            "directories more than with {}",
                            to_int(ino), now.links, subdirs, links_before));
  return {};
}

Status NamePass::check_parents() const {
  std::unordered_map<uint32_t, bool> reaches{{EXT2_ROOT_INO, true}};
  for (const auto& [ino, counts] : counts_) {
    if (counts.added == 0)
      continue;
    const CatalogInode inode = OVL_TRY(inodes_.inode(Ino{ino}));
    if (!inode.is_dir())
      continue;
    if (inode.parent != to_int(counts.parent))
      return fail(EUCLEAN, fmt::format("directory {}: its '..' is not {}", ino,
                                       to_int(counts.parent)));
    OVL_TRY(check_way_up(Ino{ino}, reaches));
  }
  for (const InodeChange& change : inodes_.changes()) {
    const CatalogInode& now = change.after.inode;
    if (!is_of_tree(change.ino) || !now.is_dir() || !now.has_names() ||
        now.parent == change.before.parent)
      continue;
    const auto counts = counts_.find(to_int(change.ino));
    if (counts == counts_.end() || counts->second.added == 0)
      return fail(EUCLEAN, fmt::format("directory {}: its '..' is another",
                                       to_int(change.ino)));
  }
  return {};
}

// Upwards until a directory that is known to be beneath the root. A way that
// meets itself ends where it was marked.
Status NamePass::check_way_up(
    Ino directory, std::unordered_map<uint32_t, bool>& reaches) const {
  std::vector<uint32_t> way;
  for (uint32_t at = to_int(directory);;) {
    const auto [known, is_new] = reaches.try_emplace(at, false);
    if (!is_new && known->second)
      break;
    const CatalogInode inode = OVL_TRY(inodes_.inode(Ino{at}));
    if (!is_new || !inode.is_dir() || !inode.has_names())
      return fail(EUCLEAN, fmt::format("directory {}: it is not beneath the "
                                       "root",
                                       to_int(directory)));
    way.push_back(at);
    at = inode.parent;
  }
  for (const uint32_t ino : way)
    reaches[ino] = true;
  return {};
}

}  // namespace ovl
