// SPDX-License-Identifier: BSD-3-Clause
//
// A random stack of layers in memory, scanned and merged: an upper, two lowers
// and a data-only layer, with objects of every kind, holes, attributes, hard
// links, whiteouts, opaque and moved directories, and metacopy files.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "fsengine/base/tree_codec.h"
#include "fsengine/overlay/merge.h"
#include "fsengine/overlay/scan.h"
#include "tests/support/fake_layer.h"

namespace ovl {

class RandomStack {
 public:
  static constexpr uint32_t kLayers = 4;

  RandomStack(uint64_t seed, unsigned objects) : random_(seed) {
    for (FakeLayer* layer : {&bottom_, &middle_, &upper_})
      fill(*layer, objects);
    add_moved_directory();
    add_metacopy_files();
  }

  /// An error is one of the overlay rules, and a fault of this class.
  Status merge() {
    data_layers_.add(data_, 3);
    NodeId root = OVL_TRY(add(bottom_, 2, kNoNode));
    root = OVL_TRY(add(middle_, 1, root));
    lower_root_ = root;
    merged_root_ = OVL_TRY(add(upper_, 0, root));
    return {};
  }

  const NodePool& pool() const { return pool_; }
  PoolPart part() const {
    return {pool_, pool_.size(), lower_root_, merged_root_};
  }

 private:
  Result<NodeId> add(const FakeLayer& layer, uint16_t index, NodeId below) {
    constexpr auto kFamily = XattrFamily::kTrusted;
    const auto scan = OVL_TRY(scan_layer(layer, index, kFamily, pool_));
    return merge_layer(layer, scan.root, below, {pool_, data_layers_, kFamily});
  }

  uint32_t below(uint32_t limit) {
    return std::uniform_int_distribution<uint32_t>(0, limit - 1)(random_);
  }
  std::string random_bytes(uint32_t most) {
    std::string bytes(below(most) + 1, '\0');
    for (char& byte : bytes)
      byte = static_cast<char>(below(256));
    return bytes;
  }

  void fill(FakeLayer& layer, unsigned objects) {
    std::vector<std::string> dirs{""};
    std::vector<std::string> files;
    for (unsigned i = 0; i < objects; ++i) {
      const std::string& dir = dirs[below(static_cast<uint32_t>(dirs.size()))];
      const std::string path =
          join_path(dir, std::string(1 + below(40), 'a') +
                             std::to_string(below(objects)));
      if (layer.find(path))
        continue;
      if (below(4) == 0) {
        dirs.push_back(path);
        add_directory(layer, path);
      } else if (below(6) == 0 && !files.empty()) {
        layer.link(files[below(static_cast<uint32_t>(files.size()))], path);
      } else {
        files.push_back(path);
        change(add_object(layer, path));
      }
    }
  }

  void add_directory(FakeLayer& layer, const std::string& path) {
    XattrSet set;
    if (below(4) == 0)
      set.push_back({"trusted.overlay.opaque", "y"});
    change(layer.dir(path, std::move(set)));
  }

  LayerObject& add_object(FakeLayer& layer, const std::string& path) {
    constexpr uint32_t kSpecial[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
    switch (below(5)) {
      case 0:
        return layer.whiteout(path);
      case 1:
        return layer.symlink(path, std::string(1 + below(200), 't'));
      case 2: {
        LayerObject& object = layer.whiteout(path);
        object.mode = kSpecial[below(4)] | 0600;
        if (S_ISCHR(object.mode) || S_ISBLK(object.mode))
          object.rdev = DeviceNo::of(1 + below(400), below(70000));
        return object;
      }
      case 3:
        return sparse(layer.file(path));
      default:
        return layer.file(path, std::string(below(20000), 'x'));
    }
  }

  LayerObject& sparse(LayerObject& object) {
    object.holes.sparse = true;
    uint32_t at = below(3);
    for (uint32_t run = below(4); run > 0; --run) {
      const uint32_t blocks = 1 + below(3);
      object.holes.runs.push_back({at, blocks});
      at += blocks + 1 + below(9);
    }
    object.size = uint64_t{at + 1} * 4096 - below(4096);
    return object;
  }

  // What any object can have; a whiteout has no use of it, but may.
  void change(LayerObject& object) {
    object.uid = below(70000);
    object.gid = below(70000);
    object.mode |= below(07777);
    object.mtime_sec = static_cast<int64_t>(below(2'000'000'000)) - 1000;
    object.mtime_nsec = below(1'000'000'000);
    object.ctime_tag = below(1000);
    if (below(3) == 0)
      object.xattrs.push_back(
          {"user.k" + std::to_string(below(3)), random_bytes(below(20) + 1)});
    if (below(9) == 0)
      object.xattrs.push_back({"trusted.overlay.protattr", "ia"});
    std::ranges::sort(object.xattrs, {}, &Xattr::name);
  }

  void add_moved_directory() {
    bottom_.dir("before");
    bottom_.dir("before/sub");
    bottom_.file("before/sub/f");
    upper_.whiteout("before");
    upper_.dir("now", {{"trusted.overlay.redirect", "/before"}});
    upper_.file("now/new");
  }

  void add_metacopy_files() {
    bottom_.file("meta", std::string(9000, 'm'));
    upper_.file("meta", std::string(9000, 'm'),
                {{"trusted.overlay.metacopy", ""}});
    data_.file("content/one", std::string(5000, 'd'));
    middle_.file("outside", std::string(5000, 'd'),
                 {{"trusted.overlay.metacopy", ""},
                  {"trusted.overlay.redirect", "/content/one"}});
  }

  std::mt19937_64 random_;
  FakeLayer upper_{"upper"};
  FakeLayer middle_{"middle"};
  FakeLayer bottom_{"bottom"};
  FakeLayer data_{"data"};
  NodePool pool_;
  DataLayers data_layers_{pool_};
  NodeId lower_root_ = kNoNode;
  NodeId merged_root_ = kNoNode;
};

}  // namespace ovl
