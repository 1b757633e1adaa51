// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/catalog_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {
namespace {

using Lines = std::vector<std::string>;

std::string inode_line(Ino ino, const CatalogInode& inode,
                       Identities identities) {
  const bool is_told = identities == Identities::kTold;
  return fmt::format(
      "inode {} {:o} links {} size {} mtime {}.{} owner {} {} generation {:x} "
      "said {:x} flags {:x} rdev {:x} parent {} pointers {:x} xattrs {:x} in "
      "{}",
      to_int(ino), inode.mode, inode.links, inode.size, inode.mtime_sec,
      inode.mtime_nsec, inode.uid, inode.gid, is_told ? inode.generation : 0,
      inode.said_generation, inode.flags, inode.rdev, inode.parent,
      inode.pointer_hash, inode.xattr_hash, inode.xattr_block);
}

std::string runs_text(std::span<const MapRun> runs) {
  std::string text;
  for (const MapRun& run : runs)
    text += fmt::format(" {}+{}@{}:{}", run.file_block, run.count, run.device,
                        static_cast<int>(run.kind));
  return text;
}

void add_inodes(const Catalog& catalog, Identities identities, Lines& lines) {
  catalog.for_each_inode([&](Ino ino, const CatalogInode& inode,
                             bool has_base_mapping,
                             std::span<const MapRun> runs) {
    lines.push_back(inode_line(ino, inode, identities) +
                    (has_base_mapping ? " base mapping" : runs_text(runs)));
  });
}

void add_names(const Catalog& catalog, Lines& lines) {
  catalog.for_each_block_of_names([&](BlockNo block, const PackedNames& names) {
    lines.push_back(
        fmt::format("names {} {}", to_int(block), one_line(names.bytes())));
  });
}

void add_owners(const Catalog& catalog, Lines& lines) {
  const uint64_t end = blocks_for(catalog.base().image().size());
  for (uint64_t at = 0; at < end;) {
    const Catalog::Owner owner = catalog.owner_of(BlockNo{at}, end - at);
    std::string line = fmt::format("block {}+{} use {} inode {} from {}", at,
                                   owner.count, static_cast<int>(owner.use),
                                   to_int(owner.ino), owner.file_block);
    if (owner.use == Catalog::Use::kXattrs)
      for (const Ino ino : catalog.users_of_xattrs(BlockNo{at}))
        line += fmt::format(" user {}", to_int(ino));
    lines.push_back(std::move(line));
    at += owner.count;
  }
}

}  // namespace

Result<Catalog> copy_of(const Catalog& catalog) {
  Catalog copy(catalog.base());
  catalog.for_each_inode([&](Ino ino, const CatalogInode& inode,
                             bool has_base_mapping,
                             std::span<const MapRun> runs) {
    copy.set(ino, {inode, has_base_mapping, {runs.begin(), runs.end()}});
  });
  Status status;
  catalog.for_each_block_of_names([&](BlockNo block, const PackedNames& names) {
    auto packed = PackedNames::from_bytes(names.bytes());
    if (packed)
      copy.set_names(block, std::move(*packed));
    else
      status = tl::unexpected(packed.error());
  });
  OVL_TRY(std::move(status));
  return copy;
}

std::vector<std::string> catalog_lines(const Catalog& catalog,
                                       Identities identities) {
  Lines lines;
  add_inodes(catalog, identities, lines);
  add_names(catalog, lines);
  std::ranges::sort(lines);
  add_owners(catalog, lines);
  return lines;
}

}  // namespace ovl
