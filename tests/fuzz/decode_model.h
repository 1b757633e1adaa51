// SPDX-License-Identifier: BSD-3-Clause
//
// A tree of names that knows nothing but the changes that it was told, and
// ends the program when they leave it as no tree.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fsengine/base/change.h"
#include "images/decode/catalog.h"
#include "images/ext_inode.h"
#include "tests/fuzz/fuzz_input.h"

namespace ovl {

class DecodeModel {
 public:
  DecodeModel(const NodePool& pool, NodeId root, const Image& image) {
    root_ = add_base(pool, root, image);
  }

  /// `catalog` is the state behind the changes.
  void apply(const Changes& changes, const Catalog& catalog) {
    using Kind = ObjectChange::Kind;
    for (const ObjectChange& change : changes.objects)
      if (change.kind == Kind::kMade)
        check(objects_.try_emplace(change.id).second);
    for (const NameChange& change : changes.names)
      if (change.before)
        remove_name(change);
    for (const NameChange& change : changes.names)
      if (change.now)
        add_name(change);
    for (const ObjectChange& change : changes.objects) {
      check(objects_.contains(change.id));
      if (change.content)
        check_content(*change.content);
      if (change.kind == Kind::kGone)
        remove(change.id);
    }
    check_tree(catalog);
  }

 private:
  struct Object {
    std::map<std::string, ObjectId> names;
    uint32_t named = 0;
  };

  ObjectId add_base(const NodePool& pool, NodeId node, const Image& image) {
    const ExtInode inode(image.inode_bytes(image.ino_of(node)));
    const ObjectId id{image.ino_of(node), generation_of(inode),
                      static_cast<uint16_t>(inode.mode() & S_IFMT)};
    if (objects_.try_emplace(id).second && pool[node].is_dir())
      for (const Entry& entry : pool.entries(node)) {
        const ObjectId child = add_base(pool, entry.node, image);
        objects_[id].names[std::string(pool.name(entry))] = child;
        ++objects_[child].named;
      }
    return id;
  }

  void remove_name(const NameChange& change) {
    const auto directory = objects_.find(change.directory);
    check(directory != objects_.end());
    const auto name = directory->second.names.find(change.name);
    check(name != directory->second.names.end());
    check(name->second == *change.before);
    --objects_.at(name->second).named;
    directory->second.names.erase(name);
  }
  void add_name(const NameChange& change) {
    const auto directory = objects_.find(change.directory);
    check(directory != objects_.end() && S_ISDIR(change.directory.type));
    check(objects_.contains(*change.now));
    check(directory->second.names.try_emplace(change.name, *change.now).second);
    ++objects_.at(*change.now).named;
  }
  void remove(const ObjectId& id) {
    const Object& object = objects_.at(id);
    check(object.named == 0 && object.names.empty() && id != root_);
    objects_.erase(id);
  }

  static void check_content(const ContentChange& content) {
    uint64_t end = 0;
    for (const FileRange& range : content.changed) {
      check(range.count > 0 && range.first >= end);
      end = range.first + range.count;
    }
    check(end <= blocks_for(content.size));
  }

  // All of it is beneath the root; a directory has one name, everything else
  // as many as it has links.
  void check_tree(const Catalog& catalog) const {
    std::vector<ObjectId> way{root_};
    size_t seen = 1;
    std::map<ObjectId, uint32_t> met;
    while (!way.empty()) {
      const ObjectId at = way.back();
      way.pop_back();
      for (const auto& [name, child] : objects_.at(at).names) {
        if (met[child]++ > 0)
          continue;
        ++seen;
        if (S_ISDIR(child.type))
          way.push_back(child);
      }
    }
    check(seen == objects_.size());
    for (const auto& [id, object] : objects_) {
      const auto inode = catalog.inode(id.ino);
      check(inode.has_value() && inode->type() == id.type &&
            inode->generation == id.generation);
      const uint32_t wanted = id == root_            ? 0
                              : S_ISDIR(inode->mode) ? 1
                                                     : inode->links;
      check(object.named == wanted);
    }
  }

  std::map<ObjectId, Object> objects_;
  ObjectId root_;
};

}  // namespace ovl
