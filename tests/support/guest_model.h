// SPDX-License-Identifier: BSD-3-Clause
//
// A guest's file system in memory, over the tree that its image was made from:
// inodes with numbers, attributes and bytes, edited by paths, again and again.
// tree() is what a reader of the device would hand over at that time: what is
// as in the base is the base's node.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/paths.h"
#include "fsengine/base/tree.h"
#include "fsengine/base/units.h"

namespace ovl {

class GuestModel {
 public:
  using Content =
      std::function<Result<std::unique_ptr<BlockSource>>(NodeId layers_file)>;
  using Blocks = std::map<uint32_t, std::string>;  // kBlockSize bytes each

  struct Inode {
    uint64_t number = 0;
    NodeId base = kNoNode;
    Node node;  // attributes and size; entries and holes are made up by tree()
    bool content_changed = false;
    uint64_t edits = 0;  // of its bytes
    Blocks blocks;       // of a regular file, holes left out
    std::string target;  // of a symlink
    std::map<std::string, std::shared_ptr<Inode>> children;
  };

  GuestModel(NodePool& pool, NodeId base, const Content& content)
      : pool_(pool) {
    root_ = load(base, content);
    base_names_ = names();
  }

  Inode& operator[](const std::string& path) { return *at(path); }

  Inode& create(const std::string& path, uint32_t mode = S_IFREG | 0644) {
    auto inode = std::make_shared<Inode>();
    inode->number = ++last_number_;
    inode->node.origin = Origin::kGuest;
    inode->node.mode = static_cast<uint16_t>(mode);
    inode->node.mtime_sec = 1'700'000'000;
    inode->content_changed = !S_ISDIR(mode);
    by_number_[inode->number] = inode;
    return *(directory_of(path)[name(path)] = inode);
  }
  Inode& mkdir(const std::string& path) { return create(path, S_IFDIR | 0755); }
  void symlink(const std::string& path, const std::string& target) {
    Inode& inode = create(path, S_IFLNK | 0777);
    inode.target = target;
    inode.node.size = target.size();
  }
  /// Block `block` becomes `fill` over and over; the file grows to hold it.
  void write(const std::string& path, char fill, uint32_t block = 0) {
    Inode& inode = *at(path);
    inode.blocks[block] = std::string(kBlockSize, fill);
    inode.node.size =
        std::max(inode.node.size, uint64_t{block + 1} * kBlockSize);
    edited(inode);
  }
  void truncate(const std::string& path, uint64_t size) {
    Inode& inode = *at(path);
    std::erase_if(inode.blocks, [size](const auto& block) {
      return block.first >= blocks_for(size);
    });
    const auto last =
        inode.blocks.find(static_cast<uint32_t>(size / kBlockSize));
    if (last != inode.blocks.end())
      last->second.replace(size % kBlockSize, std::string::npos,
                           kBlockSize - size % kBlockSize, '\0');
    inode.node.size = size;
    edited(inode);
  }
  void punch(const std::string& path, uint32_t block) {
    at(path)->blocks.erase(block);
    edited(*at(path));
  }
  void chmod(const std::string& path, uint32_t mode) {
    Node& node = at(path)->node;
    node.mode = static_cast<uint16_t>((node.mode & S_IFMT) | mode);
  }
  void touch(const std::string& path, int64_t mtime) {
    at(path)->node.mtime_sec = mtime;
  }
  void set_xattrs(const std::string& path, XattrSet set) {
    at(path)->node.xattrs = pool_.xattrs.intern(std::move(set));
  }
  void remove(const std::string& path) { directory_of(path).erase(name(path)); }
  void rename(const std::string& from, const std::string& to) {
    auto inode = at(from);
    remove(from);
    directory_of(to)[name(to)] = inode;
  }
  void link(const std::string& from, const std::string& to) {
    directory_of(to)[name(to)] = at(from);
  }
  /// As `cp -a from to`: a new inode with all that the old one has.
  void copy(const std::string& from, const std::string& to) {
    auto inode = std::make_shared<Inode>(*at(from));
    inode->number = ++last_number_;
    inode->base = kNoNode;
    inode->content_changed = true;
    by_number_[inode->number] = inode;
    directory_of(to)[name(to)] = inode;
  }

  /// The bytes of base's `file` are in the store from now on, so they count
  /// as written by the guest.
  void lose(NodeId file) {
    Inode& inode = *by_number_.at(numbers_.at(file));
    inode.content_changed |= !inode.blocks.empty();
  }

  NodeId tree() {
    stored_.clear();
    now_names_ = names();
    return store(*root_);
  }

  const Inode& root() const { return *root_; }
  const XattrSet& xattrs(const Inode& inode) const {
    return pool_.xattrs.get(inode.node.xattrs);
  }

  uint64_t number_of(NodeId base) const { return numbers_.at(base); }

  /// The node of the base that an inode number was given to, or kNoNode.
  NodeId base_of(uint64_t number) const {
    const auto at = by_number_.find(number);
    return at == by_number_.end() ? kNoNode : at->second->base;
  }

  /// The bytes of a regular file that is or was in the tree.
  std::unique_ptr<BlockSource> content(uint64_t number) const {
    return std::make_unique<Bytes>(*by_number_.at(number));
  }

  /// All paths but the root's, parents first.
  std::vector<std::string> paths() const {
    std::vector<std::string> all;
    append_paths(*root_, "", all);
    return all;
  }

 private:
  class Bytes : public BlockSource {
   public:
    explicit Bytes(const Inode& inode) : inode_(inode) {}
    uint64_t size() const override { return inode_.node.size; }
    Status read(uint64_t offset, std::span<std::byte> out) const override {
      for (std::byte& byte : out) {
        const auto block =
            inode_.blocks.find(static_cast<uint32_t>(offset / kBlockSize));
        byte = block == inode_.blocks.end()
                   ? std::byte{0}
                   : std::byte(block->second[offset % kBlockSize]);
        ++offset;
      }
      return {};
    }

   private:
    const Inode& inode_;
  };

  static void edited(Inode& inode) {
    inode.content_changed = true;
    ++inode.edits;
  }

  // Which names an inode has: the number of the directory, and the name.
  using Names = std::map<uint64_t, std::set<std::pair<uint64_t, std::string>>>;

  std::shared_ptr<Inode> load(NodeId id, const Content& content) {
    if (const auto seen = numbers_.find(id); seen != numbers_.end())
      return by_number_.at(seen->second);
    auto inode = std::make_shared<Inode>();
    inode->number = ++last_number_;
    inode->base = id;
    inode->node = newer_state(pool_, id, inode->number);
    numbers_[id] = inode->number;
    by_number_[inode->number] = inode;
    const Node& node = pool_[id];
    if (node.is_regular())
      load_content(id, content, *inode);
    if (node.is_symlink())
      inode->target = pool_.strings.get(node.target);
    if (node.is_dir())
      for (const Entry& entry : pool_.entries(id))
        inode->children[std::string(pool_.name(entry))] =
            load(entry.node, content);
    return inode;
  }

  void load_content(NodeId id, const Content& content, Inode& inode) const {
    const auto runs = data_runs(pool_, pool_[id]);
    if (runs.empty())
      return;
    const auto source = *content(id);
    for (const DataRun& run : runs)
      for (uint32_t i = 0; i < run.blocks; ++i) {
        const uint64_t offset = uint64_t{run.first_block + i} * kBlockSize;
        std::string bytes(kBlockSize, '\0');
        const auto part =
            std::as_writable_bytes(std::span(bytes))
                .first(std::min<size_t>(kBlockSize, inode.node.size - offset));
        if (!source->read(offset, part))
          std::abort();
        inode.blocks[run.first_block + i] = std::move(bytes);
      }
  }

  std::shared_ptr<Inode> at(const std::string& path) {
    return path.empty() ? root_ : directory_of(path).at(name(path));
  }
  std::map<std::string, std::shared_ptr<Inode>>& directory_of(
      const std::string& path) {
    return at(std::string(split_path(path).dir))->children;
  }
  static std::string name(const std::string& path) {
    return std::string(split_path(path).name);
  }

  static void append_paths(const Inode& directory, const std::string& path,
                           std::vector<std::string>& all) {
    for (const auto& [child_name, child] : directory.children) {
      all.push_back(join_path(path, child_name));
      append_paths(*child, join_path(path, child_name), all);
    }
  }

  Names names() const {
    Names all;
    collect_names(*root_, all);
    return all;
  }
  static void collect_names(const Inode& directory, Names& all) {
    for (const auto& [child_name, child] : directory.children) {
      all[child->number].emplace(directory.number, child_name);
      collect_names(*child, all);
    }
  }

  NodeId store(Inode& inode) {
    if (const auto at = stored_.find(&inode); at != stored_.end())
      return at->second;
    return stored_[&inode] = S_ISDIR(inode.node.mode) ? store_directory(inode)
                                                      : store_file(inode);
  }

  NodeId store_file(Inode& inode) {
    if (inode.base != kNoNode && !inode.content_changed &&
        has_base_attributes(inode) &&
        now_names_[inode.number] == base_names_[inode.number])
      return inode.base;
    Node node = current(inode);
    if (node.is_symlink())
      node.target = pool_.strings.add(inode.target);
    if (node.is_regular() && inode.content_changed)
      node.holes = pool_.hole_maps.intern(hole_map(inode));
    return pool_.add(node);
  }

  NodeId store_directory(Inode& inode) {
    std::vector<Entry> entries;
    for (auto& [child_name, child] : inode.children)
      entries.push_back({pool_.strings.add(child_name), store(*child)});
    if (inode.base != kNoNode && has_base_attributes(inode) &&
        std::ranges::equal(entries, pool_.entries(inode.base),
                           [this](const auto& a, const auto& b) {
                             return a.node == b.node &&
                                    pool_.name(a) == pool_.name(b);
                           }))
      return inode.base;
    Node node = current(inode);
    node.lower = kNoNode;
    const NodeId id = pool_.add(node);
    pool_.set_entries(id, std::move(entries));
    return id;
  }

  Node current(const Inode& inode) const {
    Node node = inode.node;
    node.host_ino = inode.number;
    node.source = inode.base;
    node.content_changed = inode.content_changed;
    return node;
  }

  bool has_base_attributes(const Inode& inode) const {
    return same_attributes(inode.node, pool_[inode.base]) &&
           inode.node.size == pool_[inode.base].size;
  }

  static HoleMap hole_map(const Inode& inode) {
    HoleMap map{true, {}};
    for (const auto& [block, bytes] : inode.blocks) {
      if (!map.runs.empty() &&
          map.runs.back().first_block + map.runs.back().blocks == block)
        ++map.runs.back().blocks;
      else
        map.runs.push_back({block, 1});
    }
    const bool whole = inode.blocks.size() == blocks_for(inode.node.size);
    return whole ? HoleMap{} : map;
  }

  NodePool& pool_;
  std::shared_ptr<Inode> root_;
  uint64_t last_number_ = 0;
  std::map<NodeId, uint64_t> numbers_;  // of the base's nodes
  std::map<uint64_t, std::shared_ptr<Inode>> by_number_;
  Names base_names_;
  Names now_names_;
  std::map<Inode*, NodeId> stored_;
};

}  // namespace ovl
