// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/scan.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/layer_node.h"

namespace ovl {
namespace {

constexpr unsigned kMaxThreads = 16;

// Empty, or a header of version 0 that states its own length, and a digest.
bool is_valid_metacopy(const std::string& value) {
  constexpr size_t kHeader = 4;
  return value.empty() ||
         (value.size() >= kHeader && value[0] == 0 && value[2] == 0 &&
          static_cast<unsigned char>(value[1]) == value.size());
}

class Scanner {
 public:
  Scanner(const Layer& layer, uint16_t index, XattrFamily family,
          NodePool& pool)
      : layer_(layer), index_(index), family_(family), pool_(pool) {}

  Result<ScanResult> run() {
    const LayerObject top = OVL_TRY(layer_.root());
    if (!S_ISDIR(top.mode))
      return fail(ENOTDIR, layer_.name() + ": not a directory");
    const NodeId root = add_node(top, kNoNode);
    todo_.push_back({root, ""});
    run_threads();
    if (failure_)
      return tl::unexpected(std::move(*failure_));
    std::ranges::sort(mount_points_);
    return ScanResult{root, has_unreadable_, std::move(mount_points_)};
  }

 private:
  struct Directory {
    NodeId node;
    std::string path;
  };

  void run_threads() {
    const unsigned count =
        std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i)
      threads.emplace_back([this] { work(); });
    for (std::thread& thread : threads)
      thread.join();
  }

  void work() {
    while (auto directory = next_directory()) {
      auto objects = layer_.list(directory->path);
      const std::lock_guard lock(mutex_);
      auto status = objects ? add_children(*directory, *objects)
                            : not_listed(*directory, objects.error());
      if (!status && !failure_)
        failure_ = status.error();
      --busy_;
      wake_.notify_all();
    }
  }

  // Waits while others may still find directories; nothing when all is done.
  std::optional<Directory> next_directory() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock,
               [this] { return failure_ || !todo_.empty() || busy_ == 0; });
    if (failure_ || todo_.empty())
      return std::nullopt;
    Directory directory = std::move(todo_.back());
    todo_.pop_back();
    ++busy_;
    return directory;
  }

  Status not_listed(const Directory& directory, const Error& error) {
    if (directory.path.empty())
      return tl::unexpected(error);
    if (error.code() == EXDEV) {  // mounted since its parent was listed
      mount_points_.push_back(directory.path);
      return {};
    }
    if (error.code() != EACCES)
      return tl::unexpected(error);
    pool_.mutable_node(directory.node).marks |= kMarkUnreadable;
    has_unreadable_ = true;
    return {};
  }

  Status add_children(const Directory& directory,
                      const std::vector<LayerObject>& objects) {
    std::vector<Entry> entries;
    entries.reserve(objects.size());
    for (const LayerObject& object : objects) {
      const std::string path = join_path(directory.path, object.name);
      OVL_TRY(check_metacopy(object).in(join_path(layer_.name(), path)));
      if (pool_.strings.full())
        return fail(EOVERFLOW, layer_.name() + ": too many names");
      const NodeId node = add_node(object, directory.node);
      entries.push_back({pool_[node].host_name, node});
      if (object.is_mount_point)
        mount_points_.push_back(path);
      else if (S_ISDIR(object.mode))
        todo_.push_back({node, path});
    }
    keep_own_names(objects, entries);
    pool_.set_entries(directory.node, std::move(entries));
    return {};
  }

  Status check_metacopy(const LayerObject& object) const {
    const auto* value =
        find_xattr(object.xattrs, overlay_xattr(family_, "metacopy"));
    if (value == nullptr || !S_ISREG(object.mode))
      return {};
    if (!is_valid_metacopy(*value))
      return fail(EIO, "malformed metacopy attribute");
    if (family_ == XattrFamily::kUser)
      return fail(EPERM, "metacopy files cannot be read with userxattr");
    return {};
  }

  // A second name of a hard link has its first name in the node.
  void keep_own_names(const std::vector<LayerObject>& objects,
                      std::vector<Entry>& entries) {
    for (size_t i = 0; i < objects.size(); ++i)
      if (pool_.name(entries[i]) != objects[i].name)
        entries[i].name = pool_.strings.add(objects[i].name);
  }

  NodeId add_node(const LayerObject& object, NodeId parent) {
    const bool linked = object.nlink > 1 && !S_ISDIR(object.mode);
    const std::pair identity(object.dev, object.ino);
    if (linked)
      if (const auto at = links_.find(identity); at != links_.end())
        return at->second;
    const NodeId node =
        pool_.add(layer_node(object, index_, parent, family_, pool_));
    if (linked)
      links_.emplace(identity, node);
    return node;
  }

  const Layer& layer_;
  const uint16_t index_;
  const XattrFamily family_;
  NodePool& pool_;

  std::mutex mutex_;  // guards everything below, and the pool
  std::condition_variable wake_;
  std::vector<Directory> todo_;
  unsigned busy_ = 0;
  bool has_unreadable_ = false;
  std::vector<std::string> mount_points_;
  std::optional<Error> failure_;
  std::map<std::pair<uint64_t, uint64_t>, NodeId> links_;
};

}  // namespace

Result<ScanResult> scan_layer(const Layer& layer, uint16_t index,
                              XattrFamily family, NodePool& pool) {
  return Scanner(layer, index, family, pool).run();
}

}  // namespace ovl
