// SPDX-License-Identifier: BSD-3-Clause
//
// Compares an image file with the tree that it was made from, through
// libext2fs: names, attributes, links, extended attributes, holes, content.
// Every difference is a line of text.
#pragma once

#include <ext2fs/ext2fs.h>
// Needs the types of the one above.

#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "fsengine/base/tree.h"
#include "images/acl.h"
#include "images/image.h"
#include "tests/support/image_file.h"

namespace ovl {

class Ext2Oracle {
 public:
  Ext2Oracle(const NodePool& pool, NodeId root, const Image& image,
             const std::string& path)
      : pool_(pool), image_(image) {
    initialize_ext2_error_table();
    check(ext2fs_open(path.c_str(), EXT2_FLAG_64BITS, 0, 0, unix_io_manager,
                      &fs_),
          "open");
    if (fs_ != nullptr)
      compare_from({root, EXT2_ROOT_INO, EXT2_ROOT_INO, ""});
    for (const auto& [node, links] : links_)
      if (links.stated != links.found)
        differ(fmt::format("node {}: {} links stated, {} found", node,
                           links.stated, links.found));
  }
  ~Ext2Oracle() {
    if (fs_ != nullptr)
      ext2fs_close_free(&fs_);
  }
  Ext2Oracle(const Ext2Oracle&) = delete;
  Ext2Oracle& operator=(const Ext2Oracle&) = delete;

  const std::vector<std::string>& differences() const { return found_; }

 private:
  struct Links {
    uint32_t stated = 0;
    uint32_t found = 0;
  };
  using Names = std::map<std::string, std::pair<ext2_ino_t, int>>;
  struct Place {
    NodeId id;
    ext2_ino_t ino;
    ext2_ino_t parent;
    std::string path;
  };

  // A list of what is to come, not recursion: trees are deeper than the stack
  // of a program that was built for a sanitizer.
  void compare_from(Place root) {
    to_come_.push_back(std::move(root));
    while (!to_come_.empty()) {
      const Place place = std::move(to_come_.back());
      to_come_.pop_back();
      compare(place);
    }
  }

  void compare(const Place& place) {
    const auto& [id, ino, parent, path] = place;
    const Node& node = pool_[id];
    ext2_inode_large inode{};
    check(ext2fs_read_inode_full(fs_, ino, as_inode(inode), sizeof inode),
          path);
    expect(to_int(image_.ino_of(id)) == ino, path, "ino_of");
    expect(image_.node_of(Ino{ino}) == id, path, "node_of");
    compare_attributes(node, inode, path);
    compare_xattrs(node, ino, path);
    Links& links = links_[to_int(id)];
    links.stated = inode.i_links_count;
    ++links.found;
    if (links.found > 1 && !node.is_dir())
      return;
    if (node.is_dir())
      compare_directory(id, ino, parent, path);
    if (node.is_symlink())
      compare_symlink(node, ino, inode, path);
    if (node.is_regular())
      compare_content(id, ino, inode, path);
  }

  void compare_attributes(const Node& node, const ext2_inode_large& inode,
                          const std::string& path) {
    expect(inode.i_mode == node.mode, path, "mode");
    expect(inode_uid(inode) == node.uid, path, "uid");
    expect(inode_gid(inode) == node.gid, path, "gid");
    const int64_t sec = static_cast<int32_t>(inode.i_mtime) +
                        (int64_t{inode.i_mtime_extra & 3} << 32);
    expect(sec == node.mtime_sec, path, "mtime");
    expect(inode.i_mtime_extra >> 2 == node.mtime_nsec, path, "nanoseconds");
    expect(inode.i_generation != 0, path, "generation");
    if (node.is_regular())
      expect(EXT2_I_SIZE(&inode) == node.size, path, "size");
    if (node.is_device())
      compare_device(node.rdev, inode, path);
  }

  void compare_device(DeviceNo rdev, const ext2_inode_large& inode,
                      const std::string& path) {
    const uint32_t old = inode.i_block[0];
    const uint32_t now = inode.i_block[1];
    const auto made = old != 0
                          ? DeviceNo::of(old >> 8 & 0xff, old & 0xff)
                          : DeviceNo::of(now >> 8 & 0xfff,
                                         (now & 0xff) | (now >> 12 & 0xfff00));
    expect(made == rdev, path, "device number");
  }

  void compare_xattrs(const Node& node, ext2_ino_t ino,
                      const std::string& path) {
    ext2_xattr_handle* handle = nullptr;
    check(ext2fs_xattrs_open(fs_, ino, &handle), path);
    check(ext2fs_xattrs_read(handle), path);
    XattrSet found;
    const auto add = [](char* name, char* value, size_t bytes, void* to) {
      static_cast<XattrSet*>(to)->push_back({name, std::string(value, bytes)});
      return 0;
    };
    check(ext2fs_xattrs_iterate(handle, add, &found), path);
    ext2fs_xattrs_close(&handle);
    std::ranges::sort(found, {}, &Xattr::name);
    expect(found == on_disk(pool_.xattrs.get(node.xattrs)), path, "xattrs");
  }

  // libext2fs leaves access control lists as they are on disk.
  static XattrSet on_disk(XattrSet set) {
    for (Xattr& xattr : set)
      if (xattr.name.starts_with("system."))
        xattr.value = acl_to_disk(xattr.value).value_or("malformed");
    return set;
  }

  void compare_directory(NodeId id, ext2_ino_t ino, ext2_ino_t parent,
                         const std::string& path) {
    Names names;
    check(ext2fs_dir_iterate2(fs_, ino, 0, nullptr, add_name, &names), path);
    expect(names["."].first == ino, path, "self");
    expect(names[".."].first == parent, path, "parent");
    names.erase(".");
    names.erase("..");
    expect(names.size() == pool_.entries(id).size(), path, "number of names");
    uint32_t subdirectories = 0;
    for (const Entry& entry : pool_.entries(id)) {
      const std::string name(pool_.name(entry));
      subdirectories += pool_[entry.node].is_dir() ? 1 : 0;
      if (!names.contains(name)) {
        differ(path + "/" + name + ": missing");
        continue;
      }
      to_come_.push_back(
          {entry.node, names[name].first, ino, path + "/" + name});
    }
    links_[to_int(id)].found += 1 + subdirectories;
  }

  static int add_name(ext2_ino_t, int, ext2_dir_entry* entry, int, int, char*,
                      void* to) {
    const auto bytes = static_cast<size_t>(ext2fs_dirent_name_len(entry));
    (*static_cast<Names*>(to))[std::string(entry->name, bytes)] = {
        entry->inode, ext2fs_dirent_file_type(entry)};
    return 0;
  }

  void compare_symlink(const Node& node, ext2_ino_t ino,
                       ext2_inode_large& inode, const std::string& path) {
    const auto target = pool_.strings.get(node.target);
    std::string found(inode.i_size, '\0');
    if (ext2fs_is_fast_symlink(as_inode(inode)))
      std::memcpy(found.data(), inode.i_block, found.size());
    else
      read(ino, 0, found.data(), static_cast<unsigned>(found.size()));
    expect(found == target, path, "target");
  }

  void compare_content(NodeId id, ext2_ino_t ino, ext2_inode_large& inode,
                       const std::string& path) {
    const Node& node = pool_[id];
    uint64_t before = 0;
    for (const DataRun& run : data_runs(pool_, node)) {
      if (run.first_block > before)
        compare_hole(id, ino, inode, before, run.first_block - 1, path);
      compare_block(id, ino, inode, run.first_block, path);
      compare_block(id, ino, inode, run.first_block + run.blocks / 2, path);
      before = uint64_t{run.first_block} + run.blocks;
      compare_block(id, ino, inode, before - 1, path);
    }
    if (before < blocks_for(node.size))
      compare_hole(id, ino, inode, before, blocks_for(node.size) - 1, path);
  }

  void compare_hole(NodeId id, ext2_ino_t ino, ext2_inode_large& inode,
                    uint64_t first, uint64_t last, const std::string& path) {
    for (const uint64_t block : {first, (first + last) / 2, last}) {
      expect(mapped(ino, inode, block) == 0, path, "hole");
      expect(!image_.block_of(id, block).has_value(), path, "block_of hole");
    }
  }

  void compare_block(NodeId id, ext2_ino_t ino, ext2_inode_large& inode,
                     uint64_t block, const std::string& path) {
    const Node& node = pool_[id];
    const uint64_t physical = mapped(ino, inode, block);
    expect(physical != 0, path, fmt::format("block {} is a hole", block));
    const auto told = image_.block_of(id, block);
    expect(told && to_int(*told) == physical, path, "block_of");
    std::vector<char> bytes(kBlockSize);
    check(io_channel_read_blk64(fs_->io, physical, 1, bytes.data()), path);
    for (uint64_t i = 0; i < kBlockSize; ++i) {
      const uint64_t at = block * kBlockSize + i;
      const auto wanted = at < node.size ? made_byte(id, at) : std::byte{};
      if (static_cast<std::byte>(bytes[i]) != wanted)
        return differ(fmt::format("{}: byte {}", path, at));
    }
  }

  uint64_t mapped(ext2_ino_t ino, ext2_inode_large& inode, uint64_t block) {
    blk64_t physical = 0;
    check(ext2fs_bmap2(fs_, ino, as_inode(inode), nullptr, 0, block, nullptr,
                       &physical),
          "bmap");
    return physical;
  }

  void read(ext2_ino_t ino, uint64_t offset, char* to, unsigned bytes) {
    ext2_file_t file = nullptr;
    unsigned got = 0;
    check(ext2fs_file_open(fs_, ino, 0, &file), "file_open");
    check(ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, nullptr), "llseek");
    check(ext2fs_file_read(file, to, bytes, &got), "file_read");
    expect(got == bytes, "file_read", "short");
    ext2fs_file_close(file);
  }

  static ext2_inode* as_inode(ext2_inode_large& inode) {
    return reinterpret_cast<ext2_inode*>(&inode);
  }

  void check(errcode_t code, const std::string& what) {
    if (code != 0)
      differ(what + ": " + error_message(code));
  }
  void expect(bool holds, const std::string& path, const std::string& what) {
    if (!holds)
      differ(path + ": " + what);
  }
  void differ(const std::string& text) {
    if (found_.size() < 20)
      found_.push_back(text);
  }

  const NodePool& pool_;
  const Image& image_;
  ext2_filsys fs_ = nullptr;
  std::vector<Place> to_come_;
  std::map<uint32_t, Links> links_;
  std::vector<std::string> found_;
};

}  // namespace ovl
