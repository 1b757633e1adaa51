// SPDX-License-Identifier: BSD-3-Clause
//
// What decoding would tell of a GuestModel: the difference between its states
// at two moments.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "fsengine/base/change.h"
#include "tests/support/guest_model.h"

namespace ovl {

class ModelChanges {
 public:
  ModelChanges(const GuestModel& guest, std::mt19937_64& random)
      : guest_(guest), random_(random), before_(state()) {}

  static ObjectId id_of(const GuestModel::Inode& inode) {
    return {Ino{static_cast<uint32_t>(inode.number)}, 0,
            static_cast<uint16_t>(inode.node.mode & S_IFMT)};
  }

  /// One in so many changes of content says that blocks have moved; 0: none.
  uint64_t moved_in = 4;

  /// Since the last call that was accepted.
  Changes since() {
    const State now = state();
    Changes changes;
    for (const auto& [id, object] : now.objects)
      if (const auto old = before_.objects.find(id);
          old == before_.objects.end())
        changes.objects.push_back(made(id, object));
      else if (auto change = changed(id, old->second, object))
        changes.objects.push_back(std::move(*change));
    for (const auto& [id, object] : before_.objects)
      if (!now.objects.contains(id))
        changes.objects.push_back(gone(id, object));
    add_names(now, changes);
    return changes;
  }
  void accept() { before_ = state(); }

 private:
  struct Object {
    Attributes attributes;
    XattrSet xattrs;
    uint64_t size = 0;
    GuestModel::Blocks blocks;
    std::string target;
  };
  using Name = std::pair<ObjectId, std::string>;
  struct State {
    std::map<ObjectId, Object> objects;
    std::map<Name, ObjectId> names;
  };

  State state() const {
    State state;
    add(guest_.root(), state);
    return state;
  }
  void add(const GuestModel::Inode& inode, State& state) const {
    const Node& node = inode.node;
    state.objects[id_of(inode)] = {
        {node.mtime_sec, node.mtime_nsec, node.uid, node.gid,
         node.is_device() ? node.rdev : DeviceNo{}, node.mode, node.flags},
        guest_.xattrs(inode),
        node.size,
        inode.blocks,
        inode.target};
    for (const auto& [name, child] : inode.children) {
      state.names[{id_of(inode), name}] = id_of(*child);
      add(*child, state);
    }
  }

  ObjectChange made(const ObjectId& id, const Object& object) {
    ObjectChange change;
    change.kind = ObjectChange::Kind::kMade;
    change.id = id;
    change.attributes = object.attributes;
    change.attributes_changed = kAllAttributes;
    change.xattrs = object.xattrs;
    if (S_ISLNK(id.type))
      change.target = object.target;
    if (S_ISREG(id.type))
      change.content = content(Object(), object);
    return change;
  }

  static ObjectChange gone(const ObjectId& id, const Object& object) {
    ObjectChange change;
    change.kind = ObjectChange::Kind::kGone;
    change.id = id;
    change.attributes = object.attributes;
    return change;
  }

  std::optional<ObjectChange> changed(const ObjectId& id, const Object& old,
                                      const Object& now) {
    ObjectChange change;
    change.id = id;
    change.attributes = now.attributes;
    if (now.attributes != old.attributes)
      change.attributes_changed = kAllAttributes;
    if (now.xattrs != old.xattrs)
      change.xattrs = now.xattrs;
    if (S_ISREG(id.type) && (now.size != old.size || now.blocks != old.blocks))
      change.content = content(old, now);
    const bool is_change =
        change.attributes_changed != 0 || change.xattrs || change.content;
    return is_change ? std::optional(std::move(change)) : std::nullopt;
  }

  // Behind the old end a hole is what there is anyhow.
  ContentChange content(const Object& old, const Object& now) {
    ContentChange change;
    change.size = now.size;
    change.has_moved_blocks = moved_in != 0 && random_() % moved_in == 0;
    for (uint32_t i = 0; i < blocks_for(now.size); ++i) {
      const auto before = old.blocks.find(i);
      const auto after = now.blocks.find(i);
      const bool was = before != old.blocks.end();
      const bool is = after != now.blocks.end();
      if (is ? was && before->second == after->second : !was)
        continue;
      change.changed.push_back({i, 1, !is});
    }
    return change;
  }

  void add_names(const State& now, Changes& changes) const {
    for (const auto& [name, id] : now.names) {
      const auto old = before_.names.find(name);
      if (old == before_.names.end())
        changes.names.push_back({name.first, name.second, std::nullopt, id});
      else if (old->second != id)
        changes.names.push_back({name.first, name.second, old->second, id});
    }
    for (const auto& [name, id] : before_.names)
      if (!now.names.contains(name))
        changes.names.push_back({name.first, name.second, id, std::nullopt});
  }

  const GuestModel& guest_;
  std::mt19937_64& random_;
  State before_;
};

}  // namespace ovl
