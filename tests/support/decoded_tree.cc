// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/decoded_tree.h"

#include <cerrno>

#include <fmt/format.h>

#include "fsengine/base/paths.h"
#include "images/decode/catalog_inode.h"

namespace ovl {
namespace {

constexpr std::string_view kLostAndFound = "lost+found";

std::string text_of(const ObjectId& id) {
  return fmt::format("object {}:{:x}:{:o}", to_int(id.ino), id.generation,
                     id.type);
}

tl::unexpected<Error> wrong(const ObjectId& id, std::string_view what) {
  return fail(EUCLEAN, text_of(id) + ": " + std::string(what));
}

ObjectId id_of(const Image& image, const Node& node, NodeId id) {
  const Ino ino = image.ino_of(id);
  const Image::InodeBytes bytes = image.inode_bytes(ino);
  return {ino, generation_of(ExtInode(bytes)),
          static_cast<uint16_t>(node.mode & S_IFMT)};
}

Attributes attributes_of(const Node& node) {
  Attributes attributes;
  attributes.mtime_sec = node.mtime_sec;
  attributes.mtime_nsec = node.mtime_nsec;
  attributes.uid = node.uid;
  attributes.gid = node.gid;
  if (node.is_device())
    attributes.rdev = node.rdev;
  attributes.mode = node.mode;
  attributes.flags = node.flags;
  return attributes;
}

uint8_t attribute_difference(const Attributes& a, const Attributes& b) {
  uint8_t bits = 0;
  const auto note = [&bits](bool is_same, AttributeBit bit) {
    bits |= is_same ? 0 : bit;
  };
  note(a.mode == b.mode, kModeChanged);
  note(a.uid == b.uid && a.gid == b.gid, kOwnerChanged);
  note(a.mtime_sec == b.mtime_sec && a.mtime_nsec == b.mtime_nsec,
       kTimeChanged);
  note(a.flags == b.flags, kFlagsChanged);
  note(a.rdev == b.rdev, kDeviceChanged);
  return bits;
}

Status check_attributes(const ObjectChange& change, const Attributes& before) {
  if (change.kind == ObjectChange::Kind::kMade)
    return {};
  const uint8_t bits = attribute_difference(change.attributes, before);
  if (bits != change.attributes_changed)
    return fail(EUCLEAN, fmt::format("attributes {:x} differ, {:x} are said to",
                                     bits, change.attributes_changed));
  return {};
}

bool says_something(const ObjectChange& change) {
  return change.kind != ObjectChange::Kind::kChanged ||
         change.attributes_changed != 0 || change.xattrs || change.target ||
         change.content;
}

Status check_order(const Changes& changes) {
  using Kind = ObjectChange::Kind;
  const ObjectChange* last = nullptr;
  for (const ObjectChange& change : changes.objects) {
    const bool is_next =
        last == nullptr || last->id.ino < change.id.ino ||
        (last->id.ino == change.id.ino && last->kind == Kind::kGone &&
         change.kind == Kind::kMade);
    if (!is_next)
      return wrong(change.id, "out of order");
    if (!says_something(change))
      return wrong(change.id, "a change of nothing");
    last = &change;
  }
  return {};
}

bool is_dir(const ObjectId& id) {
  return S_ISDIR(id.type);
}

}  // namespace

Result<DecodedTree> DecodedTree::of_base(LowerImage& base) {
  DecodedTree tree;
  tree.root_ = OVL_TRY(tree.add_base(base, base.tree().root));
  return tree;
}

Result<ObjectId> DecodedTree::add_base(LowerImage& base, NodeId id) {
  const Node& node = base.pool()[id];
  const ObjectId object_id = id_of(base.image(), node, id);
  const auto [at, is_new] = objects_.try_emplace(object_id);
  Object& object = at->second;
  ++object.named;
  if (!is_new)
    return object_id;
  base_[object_id] = id;
  object.attributes = attributes_of(node);
  object.xattrs = base.pool().xattrs.get(node.xattrs);
  if (node.is_symlink())
    object.target = base.pool().strings.get(node.target);
  if (node.is_regular())
    object.file = OVL_TRY(
        DecodedFile::read(*base.content(id), data_runs(base.pool(), node)));
  if (node.is_dir())
    OVL_TRY(add_base_names(base, object_id, id));
  return object_id;
}

Status DecodedTree::add_base_names(LowerImage& base, const ObjectId& directory,
                                   NodeId id) {
  for (const Entry& entry : base.pool().entries(id))
    objects_[directory].names[std::string(base.pool().name(entry))] =
        OVL_TRY(add_base(base, entry.node));
  return {};
}

Status DecodedTree::apply(const Changes& changes, const OpenFile& open_file) {
  OVL_TRY(check_order(changes));
  OVL_TRY(add_made(changes));
  OVL_TRY(apply_names(changes.names));
  for (const ObjectChange& change : changes.objects)
    OVL_TRY(apply_object(change, open_file).in(text_of(change.id)));
  return check_all();
}

Status DecodedTree::add_made(const Changes& changes) {
  for (const ObjectChange& change : changes.objects)
    if (change.kind == ObjectChange::Kind::kMade &&
        !objects_.try_emplace(change.id).second)
      return wrong(change.id, "made, but it is there");
  return {};
}

Status DecodedTree::apply_names(const std::vector<NameChange>& changes) {
  for (const NameChange& change : changes)
    OVL_TRY(apply_name(change).in(fmt::format(
        "name {} in {}", one_line(change.name), text_of(change.directory))));
  return {};
}

Status DecodedTree::apply_name(const NameChange& change) {
  const auto found = objects_.find(change.directory);
  if (found == objects_.end())
    return fail(EUCLEAN, "no such directory");
  auto& names = found->second.names;
  const auto name = names.find(change.name);
  if ((name != names.end()) != change.before.has_value() ||
      (change.before && *change.before != name->second))
    return fail(EUCLEAN, "it led elsewhere before");
  if (change.before == change.now)
    return fail(EUCLEAN, "nothing changed");
  if (change.before) {
    --objects_.at(*change.before).named;
    names.erase(name);
  }
  return lead(change, found->second);
}

Status DecodedTree::lead(const NameChange& change, Object& directory) {
  if (!change.now)
    return {};
  const auto target = objects_.find(*change.now);
  if (target == objects_.end())
    return wrong(*change.now, "it is not there");
  ++target->second.named;
  directory.names[change.name] = *change.now;
  return {};
}

Status DecodedTree::apply_object(const ObjectChange& change,
                                 const OpenFile& open_file) {
  const auto found = objects_.find(change.id);
  if (found == objects_.end())
    return fail(EUCLEAN, "changed or gone, but it was not there");
  Object& object = found->second;
  OVL_TRY(check_source(change));
  OVL_TRY(check_attributes(change, object.attributes));
  if (change.kind == ObjectChange::Kind::kGone)
    return remove(change);
  object.attributes = change.attributes;
  return apply_parts(change, object, open_file);
}

Status DecodedTree::apply_parts(const ObjectChange& change, Object& object,
                                const OpenFile& open_file) {
  if ((change.attributes.mode & S_IFMT) != change.id.type)
    return fail(EUCLEAN, "mode and identity have different types");
  if (change.xattrs)
    object.xattrs = *change.xattrs;
  if (change.target)
    object.target = *change.target;
  if (!change.content)
    return {};
  const auto source = OVL_TRY(open_file(change.id.ino));
  return object.file.apply(*change.content, *source);
}

Status DecodedTree::check_source(const ObjectChange& change) const {
  const auto shown = base_.find(change.id);
  const NodeId expected = shown == base_.end() ? kNoNode : shown->second;
  if (change.source != expected)
    return fail(EUCLEAN, fmt::format("source is node {}, not {}",
                                     to_int(change.source), to_int(expected)));
  return {};
}

Status DecodedTree::remove(const ObjectChange& change) {
  const Object& object = objects_.at(change.id);
  if (object.named != 0 || !object.names.empty())
    return fail(EUCLEAN, fmt::format("gone, with {} names, and {} in it",
                                     object.named, object.names.size()));
  objects_.erase(change.id);
  return {};
}

Status DecodedTree::check_all() const {
  for (const auto& [id, object] : objects_)
    if (object.named == 0 || (is_dir(id) && object.named != 1))
      return wrong(id, fmt::format("it has {} names", object.named));
  return {};
}

Manifest DecodedTree::manifest() const {
  Manifest manifest;
  list("", root_, manifest);
  return manifest;
}

void DecodedTree::list(const std::string& path, const ObjectId& id,
                       Manifest& manifest) const {
  const Object& object = objects_.at(id);
  const Attributes& attributes = object.attributes;
  ManifestEntry entry;
  entry.path = path;
  entry.mode = attributes.mode;
  entry.uid = attributes.uid;
  entry.gid = attributes.gid;
  entry.mtime_sec = attributes.mtime_sec;
  entry.mtime_nsec = attributes.mtime_nsec;
  entry.rdev_major = attributes.rdev.major_no();
  entry.rdev_minor = attributes.rdev.minor_no();
  entry.is_immutable = (attributes.flags & kFlagImmutable) != 0;
  entry.is_append_only = (attributes.flags & kFlagAppend) != 0;
  entry.is_no_atime = (attributes.flags & kFlagNoAtime) != 0;
  entry.is_synchronous = (attributes.flags & kFlagSync) != 0;
  entry.link_key = {0, to_int(id.ino)};
  entry.xattrs = object.xattrs;
  entry.target = object.target;
  entry.size = S_ISREG(id.type) ? object.file.size() : object.target.size();
  if (S_ISREG(id.type)) {
    entry.content = object.file.hash();
    entry.data_runs = object.file.data_runs();
  }
  manifest.add(std::move(entry));
  for (const auto& [name, child] : object.names)
    if (!path.empty() || name != kLostAndFound)
      list(join_path(path, name), child, manifest);
}

}  // namespace ovl
