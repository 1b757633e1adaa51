// SPDX-License-Identifier: BSD-3-Clause
//
// A name that leads to another object now is none of them, and neither is what
// it led to: `mv new file` leaves the guest no moment without the file. A
// directory out of which something was moved stays, and so do those above it.
#include "images/decode/deletions.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace ovl {
namespace {

class Selection {
 public:
  explicit Selection(const Changes& changes) : changes_(changes) {}

  Result<Changes> run(
      const std::function<Result<bool>(const ObjectId&)>& can_go) {
    OVL_TRY(find_gone(can_go));
    for (const NameChange& name : changes_.names)
      if (name.before)
        names_of_[*name.before].push_back(&name);
    spare_what_is_needed();
    return selected();
  }

 private:
  Status find_gone(const std::function<Result<bool>(const ObjectId&)>& can_go) {
    for (const ObjectChange& change : changes_.objects) {
      const bool is_gone =
          change.kind == ObjectChange::Kind::kGone && !change.is_kept;
      if (is_gone && OVL_TRY(can_go(change.id)))
        gone_.insert(change.id);
    }
    return {};
  }

  // What stays keeps the directories of its names.
  void spare_what_is_needed() {
    std::vector<ObjectId> spared;
    for (const auto& [id, names] : names_of_) {
      const bool is_replaced = std::ranges::any_of(
          names, [](const NameChange* name) { return name->now.has_value(); });
      if (is_replaced)
        gone_.erase(id);
      if (!gone_.contains(id))
        spared.push_back(id);
    }
    while (!spared.empty()) {
      const ObjectId id = spared.back();
      spared.pop_back();
      for (const NameChange* name : names_of_[id])
        if (gone_.erase(name->directory) > 0)
          spared.push_back(name->directory);
    }
  }

  Changes selected() const {
    Changes out;
    for (const ObjectChange& change : changes_.objects)
      if (change.kind == ObjectChange::Kind::kGone && gone_.contains(change.id))
        out.objects.push_back(change);
    for (const NameChange& name : changes_.names)
      if (name.before && gone_.contains(*name.before))
        out.names.push_back(name);
    return out;
  }

  const Changes& changes_;
  std::set<ObjectId> gone_;
  std::map<ObjectId, std::vector<const NameChange*>> names_of_;  // before
};

using Names = std::set<std::string, std::less<>>;

struct Directory {
  Names names;  // that go
  uint32_t subdirectories = 0;
};

class Removal {
 public:
  explicit Removal(Catalog& catalog) : catalog_(catalog) {}

  Status run(const Changes& deletions, const std::vector<Ino>& closed) {
    std::map<Ino, Directory> directories;
    for (const NameChange& name : deletions.names) {
      Directory& directory = directories[name.directory.ino];
      directory.names.insert(name.name);
      directory.subdirectories += S_ISDIR(name.before->type) ? 1 : 0;
    }
    for (const auto& [ino, directory] : directories)
      OVL_TRY(remove_names(ino, directory));
    for (const ObjectChange& object : deletions.objects)
      OVL_TRY(free(object.id.ino));
    for (const Ino ino : closed)
      OVL_TRY(free(ino));
    return {};
  }

  CatalogDelta take() {
    sort_out(delta_.inodes);
    sort_out(delta_.names);
    return std::move(delta_);
  }

 private:
  template <typename T>
  static void sort_out(std::vector<T>& list) {
    std::ranges::sort(list);
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }

  Status remove_names(Ino ino, const Directory& directory) {
    InodeState state = OVL_TRY(catalog_.state(ino));
    OVL_TRY(for_each_block(ino, [&](BlockNo block, bool is_first) -> Status {
      return remove_names(block, is_first, directory.names);
    }));
    if (directory.subdirectories == 0)
      return {};
    // One link means more than can be counted.
    if (state.inode.links > directory.subdirectories)
      state.inode.links =
          static_cast<uint16_t>(state.inode.links - directory.subdirectories);
    catalog_.set(ino, std::move(state));
    delta_.inodes.push_back(ino);
    return {};
  }

  Status remove_names(BlockNo block, bool is_first, const Names& names) {
    std::vector<DirName> left;
    bool is_any = false;
    const PackedNames before = OVL_TRY(catalog_.names(block, is_first));
    for (auto at = before.begin(); !at.at_end(); ++at) {
      const bool goes = names.contains((*at).name);
      is_any |= goes;
      if (!goes)
        left.push_back(*at);
    }
    if (!is_any)
      return {};
    catalog_.set_names(block, OVL_TRY(PackedNames::pack(std::move(left))));
    delta_.names.push_back(block);
    return {};
  }

  Status free(Ino ino) {
    const CatalogInode inode = OVL_TRY(catalog_.inode(ino));
    if (inode.is_dir())
      OVL_TRY(for_each_block(ino, [&](BlockNo block, bool) -> Status {
        catalog_.forget_names(block);
        delta_.names.push_back(block);
        return {};
      }));
    catalog_.set(ino, {});
    delta_.inodes.push_back(ino);
    return {};
  }

  template <typename Visit>
  Status for_each_block(Ino ino, Visit visit) {
    for (const MapRun& run : OVL_TRY(catalog_.mapping(ino)))
      for (uint32_t i = 0; i < run.count && run.kind == RunKind::kData; ++i)
        OVL_TRY(visit(BlockNo{uint64_t{run.device} + i},
                      uint64_t{run.file_block} + i == 0));
    return {};
  }

  Catalog& catalog_;
  CatalogDelta delta_;
};

}  // namespace

Result<Changes> deletions_in(
    const Changes& changes,
    const std::function<Result<bool>(const ObjectId&)>& can_go) {
  return Selection(changes).run(can_go);
}

Result<CatalogDelta> take_out(Catalog& catalog, const Changes& deletions,
                              const std::vector<Ino>& closed) {
  Removal removal(catalog);
  OVL_TRY(removal.run(deletions, closed));
  return removal.take();
}

}  // namespace ovl
