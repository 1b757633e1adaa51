// SPDX-License-Identifier: BSD-3-Clause
//
// What tests stand on that write to layers in directories of the host, again
// and again, and look at what they show.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/paths.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/dir_layer.h"
#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/host_file.h"
#include "fsengine/overlay/merge.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/overlay/scan.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/upper_stage.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {

using ContentPtr = Result<std::unique_ptr<BlockSource>>;
using Lines = std::vector<std::string>;

// A fresh seed, and `fixed` ones; OVL_RANDOM_SEEDS asks for more, for a soak.
inline std::vector<uint64_t> random_seeds(uint64_t fixed) {
  if (const char* count = std::getenv("OVL_RANDOM_SEEDS"))
    fixed = std::strtoull(count, nullptr, 10);
  std::vector<uint64_t> seeds{std::random_device()()};
  std::cout << "fresh seed " << seeds.front() << "\n";
  for (uint64_t seed = 1; seed <= fixed; ++seed)
    seeds.push_back(seed);
  return seeds;
}

// No host crashes here, and all else that syncs is not waited for.
class QuickOs : public WrapOs {
 public:
  QuickOs() : WrapOs(host_os()) {}
  Status syncfs(int) override { return {}; }
  Status fsync(int) override { return {}; }
};

// How upper is written.
struct Way {
  const char* name;
  bool privileged;
  std::vector<bool> redirect_dir;  // one of them for each write-back

  XattrFamily family() const {
    return privileged ? XattrFamily::kTrusted : XattrFamily::kUser;
  }
  OwnerPolicy owner() const {
    return privileged ? OwnerPolicy::kKeep : OwnerPolicy::kSquash;
  }
};

// Layers read into a pool.
class Layers {
 public:
  Layers(const Way& way, const Lines& lowers) : way_(way) {
    layers_.resize(1);
    for (const std::string& path : lowers)
      layers_.push_back(*DirLayer::open(path));
    for (size_t i = lowers.size(); i > 0; --i)
      lower_ = fold(*layers_[i], static_cast<uint16_t>(i), lower_);
  }

  // Reads upper as it is now; nodes of earlier calls stay.
  NodeId read_upper(const std::string& path) {
    layers_[0] = *DirLayer::open(path);
    return fold(*layers_[0], 0, lower_);
  }

  ContentPtr content(NodeId id) const {
    const Node& node = pool_[id];
    const std::string path = host_path(pool_, node);
    const SplitPath split = split_path(path);
    const Fd dir =
        OVL_TRY(layers_[node.layer]->open_dir(std::string(split.dir)));
    Fd file = OVL_TRY(open_host_file(dir.get(), std::string(split.name)));
    return std::make_unique<Content>(
        std::move(file),
        Stamp{node.host_ino, node.size, node.mtime_sec, node.mtime_nsec});
  }

  NodePool& pool() { return pool_; }
  Tree lower() const { return {pool_, lower_}; }

 private:
  class Content : public BlockSource {
   public:
    Content(Fd file, const Stamp& stamp)
        : file_(std::move(file)), stamp_(stamp) {}
    uint64_t size() const override { return stamp_.size; }
    Status read(uint64_t offset, std::span<std::byte> out) const override {
      OVL_TRY(read_host_file(file_.get(), stamp_, offset, out, [] {}));
      return {};
    }

   private:
    const Fd file_;
    const Stamp stamp_;
  };

  NodeId fold(const Layer& layer, uint16_t index, NodeId below) {
    const auto scan = *scan_layer(layer, index, way_.family(), pool_);
    DataLayers none(pool_);
    auto root =
        merge_layer(layer, scan.root, below, {pool_, none, way_.family()});
    EXPECT_TRUE(root) << root.error().what();
    return *root;
  }

  const Way& way_;
  NodePool pool_;
  std::vector<std::unique_ptr<Layer>> layers_;
  NodeId lower_ = kNoNode;
};

// An upper to write to.
class HostUpper {
 public:
  HostUpper(const Way& way, const std::string& path, const std::string& staging)
      : way_(way),
        path_(path),
        upper_(open_dir(path)),
        staging_(open_dir(staging)) {}

  const std::string& path() const { return path_; }

  struct Change {
    NodeId from;  // both over the lowers of the layers
    NodeId to;
    bool redirect_dir;
  };
  Status write(Layers& layers, const Change& change,
               const std::function<ContentPtr(NodeId)>& content) {
    const NodePool& pool = layers.pool();
    const UpperTarget target{.os = os_,
                             .pool = pool,
                             .upper = upper_.get(),
                             .staging = staging_.get(),
                             .family = way_.family(),
                             .owner = way_.owner(),
                             .privileged = way_.privileged,
                             .content = content};
    const UpperPlan plan = plan_upper({layers.lower(),
                                       {pool, change.from},
                                       {pool, change.to},
                                       change.redirect_dir,
                                       way_.owner()});
    const PublishPlan steps = OVL_TRY(UpperStage(target, plan).run());
    OVL_TRY(publish(os_, upper_.get(), staging_.get(), steps));
    return empty_directory(os_, staging_.get());
  }

 private:
  QuickOs os_;
  const Way& way_;
  const std::string path_;
  const Fd upper_;
  const Fd staging_;
};

// Everything that a tree shows and upper can carry, a line a name.
class Description {
 public:
  Description(const Tree& tree, const Way& way,
              std::function<ContentPtr(NodeId)> content)
      : tree_(tree), way_(way), content_(std::move(content)) {
    add(tree.root, "/");
  }
  const Lines& lines() const { return lines_; }

 private:
  void add(NodeId id, const std::string& path) {
    const Node& node = tree_.pool[id];
    const uint32_t mode = node.is_symlink() ? S_IFLNK : node.mode;
    std::string line = path + " " + std::to_string(mode) + " " +
                       std::to_string(node.mtime_sec) + "." +
                       std::to_string(node.mtime_nsec) + " " +
                       std::to_string(node.size) + " " + value(id, node);
    if (way_.owner() == OwnerPolicy::kKeep)
      line += " " + std::to_string(node.uid);
    for (const Xattr& xattr : tree_.pool.xattrs.get(node.xattrs))
      line += " " + xattr.name + "=" + xattr.value;
    lines_.push_back(line);
    if (!node.is_dir())
      return;
    for (const Entry& entry : tree_.pool.entries(id))
      add(entry.node, join_path(path, tree_.pool.name(entry)));
  }

  std::string value(NodeId id, const Node& node) {
    const auto [first, is_new] = first_line_.emplace(id, lines_.size());
    if (!is_new)
      return "as " + std::to_string(first->second);
    if (node.is_symlink())
      return std::string(tree_.pool.strings.get(node.target));
    return node.is_regular() ? bytes(id, node) : "";
  }

  std::string bytes(NodeId id, const Node& node) {
    std::string runs;
    for (const DataRun& run : data_runs(tree_.pool, node))
      runs += std::to_string(run.first_block) + "+" +
              std::to_string(run.blocks) + " ";
    std::string all(node.size, '?');
    const auto source = content_(id);
    EXPECT_TRUE(source &&
                (*source)->read(0, std::as_writable_bytes(std::span(all))));
    return runs + std::to_string(std::hash<std::string>()(all));
  }

  const Tree tree_;
  const Way& way_;
  const std::function<ContentPtr(NodeId)> content_;
  std::map<NodeId, size_t> first_line_;
  Lines lines_;
};

}  // namespace ovl
