// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/change_builder.h"

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "images/decode/content_change.h"
#include "images/ext_file.h"
#include "images/ext_xattr_reader.h"

namespace ovl {

namespace {

BlockMap block_map_of(const Mapping& mapping) {
  BlockMap map;
  for (const MapRun& run : mapping)
    if (run.kind == RunKind::kData) {
      map.runs.push_back({run.file_block, run.block(), run.count});
      map.data_end = uint64_t{run.file_block} + run.count;
    }
  return map;
}

class Builder {
 public:
  Builder(const Catalog& catalog, const BlockSource& view,
          const InodePass& inodes)
      : catalog_(catalog), view_(view), inodes_(inodes) {}

  Status add(const InodeChange& change);
  Status add(const ChangedName& name);
  Changes out;

 private:
  Status add_state(const InodeChange& change, bool is_made);
  Status read_xattrs(const InodeChange& change, ObjectChange& object) const;
  Status read_target_of(const InodeChange& change, ObjectChange& object,
                        bool is_made) const;
  Result<Mapping> mapping_of(const InodeChange& change) const;

  const Catalog& catalog_;
  const BlockSource& view_;
  const InodePass& inodes_;
};

Status Builder::add(const InodeChange& change) {
  const CatalogInode& now = change.after.inode;
  const bool was = change.before.has_names();
  const bool stays = was && now.has_names() && !change.is_another();
  if (was && !stays) {
    ObjectChange object;
    object.kind = ObjectChange::Kind::kGone;
    object.id = id_of(change.ino, change.before);
    object.source =
        source_of(catalog_.base().image(), change.ino, change.before);
    object.attributes = attributes_of(change.before);
    object.is_kept = !now.is_free() && !change.is_another();
    out.objects.push_back(std::move(object));
  }
  if (now.has_names())
    return add_state(change, !stays);
  return {};
}

Status Builder::add_state(const InodeChange& change, bool is_made) {
  const CatalogInode& now = change.after.inode;
  ObjectChange object;
  object.kind =
      is_made ? ObjectChange::Kind::kMade : ObjectChange::Kind::kChanged;
  object.id = id_of(change.ino, now);
  object.source = source_of(catalog_.base().image(), change.ino, now);
  object.attributes = attributes_of(now);
  object.attributes_changed = kAllAttributes;
  if (!is_made)
    object.attributes_changed = changed_attributes(change.before, now);
  if (is_made || change.before.xattr_hash != now.xattr_hash)
    OVL_TRY(read_xattrs(change, object));
  if (now.is_regular()) {
    const Mapping mapping = OVL_TRY(mapping_of(change));
    object.content = is_made ? whole_content(change, mapping)
                             : content_change(change, mapping);
  }
  if (object.content && !is_made)
    object.before = FileStamp{change.before.size, change.before.mtime_sec,
                              change.before.mtime_nsec};
  OVL_TRY(read_target_of(change, object, is_made));
  if (is_made || object.attributes_changed != 0 || object.xattrs ||
      object.target || object.content)
    out.objects.push_back(std::move(object));
  return {};
}

// A mapping that did not change is asked for only when it says what is data.
Result<Mapping> Builder::mapping_of(const InodeChange& change) const {
  const bool is_needed = !change.written.empty() ||
                         !change.before.has_names() ||
                         change.after.inode.size != change.before.size;
  if (change.is_remapped || !change.after.has_base_mapping)
    return change.after.mapping;
  if (!is_needed)
    return Mapping{};
  return catalog_.mapping(change.ino);
}

Status Builder::read_xattrs(const InodeChange& change,
                            ObjectChange& object) const {
  XattrSet set;
  OVL_TRY(read_inode_xattrs(change.bytes.xattr_area(), set));
  const uint64_t block = change.after.inode.xattr_block;
  if (block != 0) {
    std::array<std::byte, kBlockSize> bytes;
    OVL_TRY(view_.read(block * kBlockSize, bytes));
    OVL_TRY(read_block_xattrs(bytes, set));
  }
  sort_xattrs(set);
  object.xattrs = std::move(set);
  return {};
}

Status Builder::read_target_of(const InodeChange& change, ObjectChange& object,
                               bool is_made) const {
  if (!S_ISLNK(change.after.inode.mode))
    return {};
  const bool has_changed = is_made || change.is_remapped ||
                           !change.written.empty() ||
                           change.before.size != change.after.inode.size;
  if (!has_changed)
    return {};
  const Mapping mapping = change.after.has_base_mapping
                              ? OVL_TRY(catalog_.mapping(change.ino))
                              : change.after.mapping;
  const BlockMap map = block_map_of(mapping);
  object.target = OVL_TRY(read_target(view_, change.bytes, &map));
  return {};
}

Status Builder::add(const ChangedName& name) {
  const auto id_before = [&](Ino ino) -> Result<ObjectId> {
    return id_of(ino, OVL_TRY(catalog_.inode(ino)));
  };
  const auto id_now = [&](Ino ino) -> Result<ObjectId> {
    return id_of(ino, OVL_TRY(inodes_.inode(ino)));
  };
  NameChange change;
  change.name = name.name;
  if (to_int(name.before) != 0)
    change.before = OVL_TRY(id_before(name.before));
  if (to_int(name.now) != 0)
    change.now = OVL_TRY(id_now(name.now));
  change.directory = OVL_TRY(id_now(name.directory));
  const CatalogInode before = OVL_TRY(catalog_.inode(name.directory));
  const ObjectId id = id_of(name.directory, before);
  if (id == change.directory || !change.before) {
    out.names.push_back(std::move(change));
    return {};
  }
  // Of two directories that had the same number.
  NameChange gone{id, change.name, change.before, std::nullopt};
  change.before.reset();
  out.names.push_back(std::move(gone));
  if (change.now)
    out.names.push_back(std::move(change));
  return {};
}

}  // namespace

NodeId source_of(const Image& image, Ino ino, const CatalogInode& inode) {
  const NodeId node = image.node_of(ino);
  if (node == kNoNode)
    return kNoNode;
  const ExtInode base(image.inode_bytes(ino));
  const bool is_same = generation_of(base) == inode.generation &&
                       (base.mode() & S_IFMT) == inode.type();
  return is_same ? node : kNoNode;
}

Result<Changes> build_changes(const Catalog& catalog, const BlockSource& view,
                              const InodePass& inodes, const NamePass& names) {
  Builder builder(catalog, view, inodes);
  for (const InodeChange& change : inodes.changes())
    if (is_of_tree(change.ino)) {
      Status status = builder.add(change);
      if (!status)
        return tl::unexpected(
            status.error().in(fmt::format("inode {}", to_int(change.ino))));
    }
  for (const ChangedName& name : names.names())
    OVL_TRY(builder.add(name));
  return std::move(builder.out);
}

}  // namespace ovl
