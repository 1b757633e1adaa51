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

namespace {

constexpr uint16_t kManyLinks = 1;  // of a directory: not counted any more

}  // namespace

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
  const bool is_made = is_another || !before.has_names();
  if (!now.is_dir() || !now.has_names())
    return {};
  return check_subdirectories(ino, now, is_made ? nullptr : &before, counts);
}

// A directory of very many says 1 from then on, and keeps that with fewer, as
// long as it has an index; e2fsck counts them again.
Status NamePass::check_subdirectories(Ino ino, const CatalogInode& now,
                                      const CatalogInode* before,
                                      const Counts& counts) const {
  if (now.links == kManyLinks) {
    if ((now.flags & EXT2_INDEX_FL) != 0)
      return {};
    return fail(EUCLEAN, fmt::format("inode {}: it has 1 link, and no index",
                                     to_int(ino)));
  }
  int64_t subdirs = counts.subdirs_added;
  int64_t links_before = 2;
  if (before != nullptr && before->links != kManyLinks) {
    links_before = before->links;
    subdirs -= counts.subdirs_removed;
  } else if (before != nullptr) {
    subdirs = OVL_TRY(count_subdirectories(ino));
  }
  if (now.links - links_before != subdirs)
    return fail(EUCLEAN,
                fmt::format("inode {}: it has {} links, and {} "
                            "directories more than with {}",
                            to_int(ino), now.links, subdirs, links_before));
  return {};
}

// In all of its blocks, which is done for a directory that did not say before.
Result<int64_t> NamePass::count_subdirectories(Ino directory) const {
  std::unordered_map<uint64_t, const PackedNames*> compared;
  for (const auto& [block, names] : new_blocks_)
    compared.emplace(to_int(block), &names);
  int64_t count = 0;
  const Mapping mapping = OVL_TRY(mapping_of(directory));
  for (const MapRun& run : mapping)
    for (uint32_t i = 0; i < run.count && run.kind == RunKind::kData; ++i) {
      const BlockNo block{uint64_t{run.device} + i};
      const auto at = compared.find(to_int(block));
      const PackedNames names =
          at != compared.end()
              ? *at->second
              : OVL_TRY(catalog_.names(block, run.file_block + i == 0));
      for (auto name = names.begin(); !name.at_end(); ++name)
        count += OVL_TRY(inodes_.inode((*name).ino)).is_dir() ? 1 : 0;
    }
  return count;
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
