// SPDX-License-Identifier: BSD-3-Clause
//
// A directory whose names differ from the image's has an inode in the catalog,
// or a block of names there: those are looked at, and no others.
#include "images/decode/catalog_names.h"

#include <map>
#include <set>
#include <string>

#include "images/ext_dir_block.h"

namespace ovl {
namespace {

using Entries = std::map<std::string, ObjectId, std::less<>>;

class Comparison {
 public:
  explicit Comparison(const Catalog& catalog)
      : now_(catalog), base_(catalog.base()) {}

  Result<Changes> run() {
    std::set<Ino> concerned;
    now_.for_each_inode(
        [&](Ino ino, const auto&...) { concerned.insert(ino); });
    now_.for_each_block_of_names([&](BlockNo block, const PackedNames&) {
      const Catalog::Owner owner = now_.owner_of(block, 1);
      if (owner.use == Catalog::Use::kContent)
        concerned.insert(owner.ino);
    });
    for (const Ino ino : concerned)
      OVL_TRY(compare(ino));
    return std::move(changes_);
  }

 private:
  Status compare(Ino ino) {
    const CatalogInode was = OVL_TRY(base_.inode(ino));
    const CatalogInode is = OVL_TRY(now_.inode(ino));
    const bool stays =
        was.has_names() && is.has_names() && id_of(ino, was) == id_of(ino, is);
    if (was.has_names() && !stays) {
      ObjectChange gone;
      gone.kind = ObjectChange::Kind::kGone;
      gone.id = id_of(ino, was);
      changes_.objects.push_back(std::move(gone));
    }
    const Entries before = OVL_TRY(entries(base_, ino, was));
    const Entries after = OVL_TRY(entries(now_, ino, is));
    if (stays) {
      add(id_of(ino, is), before, after);
    } else {
      add(id_of(ino, was), before, {});
      add(id_of(ino, is), {}, after);
    }
    return {};
  }

  static Result<Entries> entries(const Catalog& catalog, Ino ino,
                                 const CatalogInode& inode) {
    Entries entries;
    if (!inode.has_names() || !inode.is_dir())
      return entries;
    for (const MapRun& run : OVL_TRY(catalog.mapping(ino)))
      for (uint32_t i = 0; i < run.count && run.kind == RunKind::kData; ++i)
        OVL_TRY(add_block(catalog, BlockNo{uint64_t{run.device} + i},
                          uint64_t{run.file_block} + i == 0, entries));
    return entries;
  }

  static Status add_block(const Catalog& catalog, BlockNo block, bool is_first,
                          Entries& entries) {
    const PackedNames names = OVL_TRY(catalog.names(block, is_first));
    for (auto at = names.begin(); !at.at_end(); ++at) {
      const DirName name = *at;
      entries.emplace(name.name,
                      id_of(name.ino, OVL_TRY(catalog.inode(name.ino))));
    }
    return {};
  }

  void add(const ObjectId& directory, const Entries& before,
           const Entries& after) {
    for (const auto& [name, id] : before) {
      const auto at = after.find(name);
      if (at == after.end())
        changes_.names.push_back({directory, name, id, std::nullopt});
      else if (at->second != id)
        changes_.names.push_back({directory, name, id, at->second});
    }
    for (const auto& [name, id] : after)
      if (!before.contains(name))
        changes_.names.push_back({directory, name, std::nullopt, id});
  }

  const Catalog& now_;
  const Catalog base_;  // of which nothing differs
  Changes changes_;
};

}  // namespace

Result<Changes> names_since_base(const Catalog& catalog) {
  return Comparison(catalog).run();
}

}  // namespace ovl
