// SPDX-License-Identifier: BSD-3-Clause
//
// A guest in memory: edits a merged tree by paths and yields the tree that a
// reader of the device would hand over, with what did not change shared.
#pragma once

#include <sys/stat.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/base/tree.h"

namespace ovl {

class GuestEdit {
 public:
  GuestEdit(NodePool& pool, const Tree& merged) : pool_(pool) {
    root_ = load(merged.root);
  }

  void write(const std::string& path, uint64_t size = 1) {
    Item& item = *at(path);
    changed(item).content_changed = true;
    item.node.size = size;
  }
  void chmod(const std::string& path, uint32_t mode) {
    Node& node = changed(*at(path));
    node.mode = static_cast<uint16_t>((node.mode & S_IFMT) | mode);
  }
  void create(const std::string& path, uint32_t mode = S_IFREG | 0644) {
    auto item = std::make_shared<Item>();
    item->node.origin = Origin::kGuest;
    item->node.mode = static_cast<uint16_t>(mode);
    item->node.content_changed = true;
    if (S_ISDIR(mode))
      item->node.lower = kNoNode;
    item->is_new = true;
    parent(path)[name(path)] = item;
  }
  void mkdir(const std::string& path) { create(path, S_IFDIR | 0755); }
  void remove(const std::string& path) { parent(path).erase(name(path)); }
  void rename(const std::string& from, const std::string& to) {
    auto item = at(from);
    remove(from);
    parent(to)[name(to)] = item;
  }
  void link(const std::string& from, const std::string& to) {
    auto item = at(from);
    changed(*item);  // its set of names is new
    parent(to)[name(to)] = item;
  }

  Tree tree() { return {pool_, store(*root_)}; }

 private:
  struct Item {
    Node node;
    NodeId id = kNoNode;  // as loaded
    bool is_new = false;  // or changed
    NodeId stored = kNoNode;
    std::map<std::string, std::shared_ptr<Item>> children;
  };

  std::shared_ptr<Item> load(NodeId id) {
    if (const auto seen = loaded_.find(id); seen != loaded_.end())
      return seen->second;
    auto item = std::make_shared<Item>();
    item->node = pool_[id];
    item->id = id;
    if (item->node.is_dir())
      for (const Entry& entry : pool_.entries(id))
        item->children[std::string(pool_.name(entry))] = load(entry.node);
    loaded_[id] = item;
    return item;
  }

  Node& changed(Item& item) {
    if (!item.is_new) {
      item.node.origin = Origin::kGuest;
      item.node.source = item.id;
      item.is_new = true;
    }
    return item.node;
  }

  std::shared_ptr<Item> at(const std::string& path) {
    return path.empty() ? root_ : parent(path).at(name(path));
  }
  std::map<std::string, std::shared_ptr<Item>>& parent(
      const std::string& path) {
    return at(std::string(split_path(path).dir))->children;
  }
  static std::string name(const std::string& path) {
    return std::string(split_path(path).name);
  }

  NodeId store(Item& item) {
    if (item.stored != kNoNode)
      return item.stored;
    if (!item.node.is_dir())
      return item.stored = item.is_new ? pool_.add(item.node) : item.id;
    std::vector<Entry> entries;
    for (auto& [child_name, child] : item.children)
      entries.push_back({pool_.strings.add(child_name), store(*child)});
    if (!item.is_new && same_entries(item.id, entries))
      return item.stored = item.id;
    changed(item).lower = kNoNode;
    item.stored = pool_.add(item.node);
    pool_.set_entries(item.stored, std::move(entries));
    return item.stored;
  }

  bool same_entries(NodeId id, const std::vector<Entry>& entries) const {
    const auto old = pool_.entries(id);
    if (old.size() != entries.size())
      return false;
    for (size_t i = 0; i < old.size(); ++i)
      if (old[i].node != entries[i].node ||
          pool_.name(old[i]) != pool_.name(entries[i]))
        return false;
    return true;
  }

  NodePool& pool_;
  std::shared_ptr<Item> root_;
  std::map<NodeId, std::shared_ptr<Item>> loaded_;
};

}  // namespace ovl
