// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/name_pass.h"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "images/decode/mapping_difference.h"

namespace ovl {

namespace {

Status named(Status status, Ino ino) {
  return std::move(status).in(
      [ino] { return fmt::format("directory {}", to_int(ino)); });
}

bool has_names_in(const CatalogInode& inode) {
  return inode.is_dir() && inode.has_names();
}

}  // namespace

Status NamePass::run() {
  OVL_TRY(check_root());
  has_others_ = std::ranges::any_of(
      inodes_.changes(),
      [](const InodeChange& change) { return change.is_another(); });
  for (InodeChange& change : inodes_.changes())
    if (is_of_tree(change.ino) &&
        (change.before.is_dir() || change.after.inode.is_dir()))
      OVL_TRY(named(compare(change), change.ino));
  OVL_TRY(merge_names());
  settle_identities();
  OVL_TRY(check_names());
  OVL_TRY(check_unique());
  std::erase_if(names_, [this](const ChangedName& name) {
    return name.before == name.now && !is_another(name.now) &&
           !is_another(name.directory);
  });
  return {};
}

Status NamePass::compare(InodeChange& change) {
  const bool was = has_names_in(change.before);
  const bool is = has_names_in(change.after.inode);
  if (is)
    OVL_TRY(check_directory(change));
  if (was && is && change.is_another())
    return compare_all(change);
  if (change.is_remapped || was != is) {
    if (!change.is_remapped)  // unlinked, its blocks still there
      change.before_mapping = OVL_TRY(catalog_.mapping(change.ino));
    return compare_mapped(change, was, is);
  }
  return is ? compare_written(change) : Status();
}

Status NamePass::check_root() const {
  const CatalogInode root = OVL_TRY(inodes_.inode(Ino{EXT2_ROOT_INO}));
  if (!has_names_in(root))
    return fail(EUCLEAN, "inode 2: the root is no directory");
  return {};
}

// As long as its blocks, all of them there. One without a name may have any.
Status NamePass::check_directory(const InodeChange& change) const {
  const uint64_t size = change.after.inode.size;
  if (!change.is_remapped && has_names_in(change.before) &&
      size == change.before.size)
    return {};
  uint64_t at = 0;
  const Mapping mapping = OVL_TRY(mapping_of(change.ino));
  for (const MapRun& run : mapping) {
    if (run.kind == RunKind::kMap)
      break;
    if (run.kind != RunKind::kData || run.file_block != at)
      return fail(EUCLEAN, fmt::format("it has a hole at block {}", at));
    at += run.count;
  }
  if (size == 0 || at * kBlockSize != size)
    return fail(EUCLEAN, fmt::format("its size is {}, of {} blocks", size, at));
  return {};
}

Result<Mapping> NamePass::mapping_of(Ino directory) const {
  const InodeChange* change = inodes_.find(directory);
  if (change != nullptr && change->is_remapped)
    return change->after.mapping;
  return catalog_.mapping(directory);
}

// All names of the one directory are gone, and all of the other come.
Status NamePass::compare_all(InodeChange& change) {
  const auto compare_blocks = [&](const Mapping& mapping,
                                  bool is_now) -> Status {
    for (const MapRun& run : mapping)
      for (uint32_t i = 0; i < run.count && run.kind == RunKind::kData; ++i) {
        const BlockNo block{uint64_t{run.device} + i};
        OVL_TRY(compare_block(change, uint64_t{run.file_block} + i,
                              is_now ? BlockNo{} : block,
                              is_now ? block : BlockNo{}));
      }
    return Status();
  };
  OVL_TRY(compare_blocks(change.before_mapping, false));
  return compare_blocks(change.after.mapping, true);
}

Status NamePass::compare_written(InodeChange& change) {
  for (const MapRun& run : change.written)
    for (uint32_t i = 0; i < run.count; ++i) {
      const BlockNo block{uint64_t{run.device} + i};
      OVL_TRY(
          compare_block(change, uint64_t{run.file_block} + i, block, block));
    }
  return {};
}

// Blocks that stay where they are count when they were written.
Status NamePass::compare_mapped(InodeChange& change, bool was, bool is) {
  const Mapping none;
  const Mapping before = was ? change.before_mapping : none;
  const Mapping now = !is                  ? none
                      : change.is_remapped ? change.after.mapping
                                           : change.before_mapping;
  Status status;
  compare_mappings(before, now, [&](const MappingDifference& difference) {
    for (uint64_t i = 0; i < difference.count && status; ++i) {
      const auto at = [i](const std::optional<MappedTo>& to) {
        return BlockNo{to ? to->device + i : 0};
      };
      status = compare_block(change, difference.first + i,
                             at(difference.before), at(difference.now));
    }
  });
  OVL_TRY(std::move(status));
  if (!was || !is)
    return {};
  for (const MapRun& run : change.written)
    for (uint32_t i = 0; i < run.count; ++i) {
      const uint64_t file_block = uint64_t{run.file_block} + i;
      const BlockNo block{uint64_t{run.device} + i};
      if (data_block(now, file_block) == block)
        OVL_TRY(compare_block(change, file_block, block, block));
    }
  return {};
}

// Block 0 stands for none: it is the superblock's.
Status NamePass::compare_block(InodeChange& change, uint64_t file_block,
                               BlockNo before, BlockNo now) {
  PackedNames names_before;
  PackedNames names_now;
  if (to_int(before) != 0) {
    names_before = OVL_TRY(catalog_.names(before, file_block == 0));
    gone_blocks_.push_back(before);
  }
  if (to_int(now) != 0)
    names_now = OVL_TRY(read_block(change, file_block, now));
  add_differences(change, names_before, names_now);
  if (to_int(now) != 0)
    new_blocks_.emplace_back(now, std::move(names_now));
  return {};
}

Result<PackedNames> NamePass::read_block(InodeChange& change,
                                         uint64_t file_block, BlockNo block) {
  DirBlockBytes bytes;
  OVL_TRY(view_.read(to_int(block) * kBlockSize, bytes));
  DirBlockContent content = OVL_TRY(parse_dir_block(bytes, file_block == 0));
  if (file_block == 0) {
    if (content.self != change.ino)
      return fail(EUCLEAN, "its '.' is another inode");
    change.after.inode.parent = to_int(content.parent);
  }
  return PackedNames::pack(std::move(content.names));
}

bool NamePass::is_another(Ino ino) const {
  if (!has_others_)
    return false;
  const InodeChange* change = inodes_.find(ino);
  return change != nullptr && change->is_another();
}

// A name that stayed is told, too, when its number may be another object's now,
// or its type is to be looked at.
void NamePass::add_differences(const InodeChange& change,
                               const PackedNames& before,
                               const PackedNames& now) {
  walk_both(before, now, [&](const DirName* was, const DirName* is) {
    const bool is_same = was != nullptr && is != nullptr &&
                         was->ino == is->ino && was->file_type == is->file_type;
    if (is_same && !is_another(is->ino))
      return;
    names_.push_back({change.ino, std::string((is ? is : was)->name),
                      was ? was->ino : Ino{}, is ? is->ino : Ino{},
                      is ? is->file_type : uint8_t{0}});
  });
}

// A name that went to another block of its directory is there twice: gone, and
// come.
Status NamePass::merge_names() {
  std::ranges::sort(names_, [](const ChangedName& a, const ChangedName& b) {
    return std::tie(a.directory, a.name) < std::tie(b.directory, b.name);
  });
  std::vector<ChangedName> merged;
  merged.reserve(names_.size());
  for (ChangedName& name : names_) {
    if (merged.empty() || merged.back().directory != name.directory ||
        merged.back().name != name.name) {
      merged.push_back(std::move(name));
      continue;
    }
    ChangedName& last = merged.back();
    if ((to_int(last.before) != 0 && to_int(name.before) != 0) ||
        (to_int(last.now) != 0 && to_int(name.now) != 0))
      return fail(EUCLEAN,
                  fmt::format("directory {}: name '{}' is there twice",
                              to_int(last.directory), one_line(last.name)));
    if (to_int(name.before) != 0)
      last.before = name.before;
    if (to_int(name.now) != 0) {
      last.now = name.now;
      last.file_type = name.file_type;
    }
  }
  names_ = std::move(merged);
  return {};
}

}  // namespace ovl
