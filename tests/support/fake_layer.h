// SPDX-License-Identifier: BSD-3-Clause
//
// A layer in memory, for tests of the overlay rules without a file system.
#pragma once

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/paths.h"
#include "fsengine/overlay/layer.h"

namespace ovl {

class FakeLayer : public Layer {
 public:
  explicit FakeLayer(std::string name = "layer") : name_(std::move(name)) {
    add("", S_IFDIR | 0755);
  }

  LayerObject& dir(const std::string& path, XattrSet xattrs = {}) {
    LayerObject& object = add(path, S_IFDIR | 0755);
    object.xattrs = std::move(xattrs);
    return object;
  }
  LayerObject& file(const std::string& path, const std::string& content = "x",
                    XattrSet xattrs = {}) {
    LayerObject& object = add(path, S_IFREG | 0644);
    object.size = content.size();
    object.xattrs = std::move(xattrs);
    contents_[path] = content;
    return object;
  }
  LayerObject& whiteout(const std::string& path) { return add(path, S_IFCHR); }
  LayerObject& symlink(const std::string& path, const std::string& target) {
    LayerObject& object = add(path, S_IFLNK | 0777);
    object.target = target;
    object.size = target.size();
    return object;
  }
  /// Another name of the object at `path`.
  void link(const std::string& path, const std::string& name) {
    LayerObject& old = objects_.at(path);
    ++old.nlink;
    LayerObject copy = old;
    copy.name = split_path(name).name;
    objects_[name] = copy;
    contents_[name] = contents_[path];
  }
  LayerObject& operator[](const std::string& path) { return objects_.at(path); }

  /// The bytes of a regular file; the layer outlives them.
  std::unique_ptr<BlockSource> content(const std::string& path) const {
    return std::make_unique<Content>(contents_.at(path));
  }

  const std::string& name() const override { return name_; }

  Result<LayerObject> root() const override { return objects_.at(""); }

  Result<std::vector<LayerObject>> list(
      const std::string& path) const override {
    if (unreadable == path && !path.empty())
      return system_error(EACCES, path + ": open");
    std::vector<LayerObject> children;
    for (const auto& [where, object] : objects_)
      if (!where.empty() && split_path(where).dir == path)
        children.push_back(object);
    return children;
  }

  Result<LayerObject> find(const std::string& path) const override {
    const auto at = objects_.find(path);
    if (at == objects_.end())
      return system_error(ENOENT, path);
    return at->second;
  }

  Result<Fd> open_dir(const std::string&) const override {
    return fail(ENOTSUP, "a layer in memory");
  }

  std::string unreadable;  // a directory that cannot be listed

 private:
  class Content : public BlockSource {
   public:
    explicit Content(const std::string& bytes) : bytes_(bytes) {}
    uint64_t size() const override { return bytes_.size(); }
    Status read(uint64_t offset, std::span<std::byte> out) const override {
      std::memcpy(out.data(), bytes_.data() + offset, out.size());
      return {};
    }

   private:
    const std::string& bytes_;
  };

  LayerObject& add(const std::string& path, uint32_t mode) {
    LayerObject object;
    object.name = split_path(path).name;
    object.mode = mode;
    object.ino = next_ino_++;
    return objects_[path] = object;
  }

  std::string name_;
  std::map<std::string, LayerObject> objects_;
  std::map<std::string, std::string> contents_;
  uint64_t next_ino_ = 1;
};

}  // namespace ovl
