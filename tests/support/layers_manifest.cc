// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/layers_manifest.h"

#include "fsengine/base/paths.h"
#include "fsengine/overlay/file_reader.h"

namespace ovl {
namespace {

class LayersScanner {
 public:
  explicit LayersScanner(const Stack& stack)
      : stack_(stack), reader_(stack, [](const std::string&) {}) {}

  Result<Manifest> scan();

 private:
  Status scan_object(const std::string& path, NodeId id);
  Status add(const std::string& path, NodeId id);

  const Stack& stack_;
  FileReader reader_;
  Manifest manifest_;
};

Result<Manifest> LayersScanner::scan() {
  OVL_TRY(scan_object("", stack_.merged().root));
  return std::move(manifest_);
}

Status LayersScanner::scan_object(const std::string& path, NodeId id) {
  OVL_TRY(add(path, id).in(path));
  if (!stack_.pool()[id].is_dir())
    return {};
  for (const Entry& entry : stack_.pool().entries(id)) {
    const std::string_view name = stack_.pool().name(entry);
    OVL_TRY(scan_object(join_path(path, name), entry.node));
  }
  return {};
}

Status LayersScanner::add(const std::string& path, NodeId id) {
  const NodePool& pool = stack_.pool();
  const Node& node = pool[id];
  ManifestEntry entry;
  entry.path = path;
  entry.mode = node.mode;
  entry.uid = node.uid;
  entry.gid = node.gid;
  entry.mtime_sec = node.mtime_sec;
  entry.mtime_nsec = node.mtime_nsec;
  entry.size = node.size;
  entry.is_immutable = (node.flags & kFlagImmutable) != 0;
  entry.is_append_only = (node.flags & kFlagAppend) != 0;
  entry.link_key = {0, uint64_t{to_int(id)} + 1};
  entry.xattrs = pool.xattrs.get(node.xattrs);
  if (node.is_device()) {
    entry.rdev_major = node.rdev.major_no();
    entry.rdev_minor = node.rdev.minor_no();
  }
  if (node.is_symlink())
    entry.target = pool.strings.get(node.target);
  if (node.is_regular()) {
    entry.data_runs = data_runs(pool, node);
    const auto source = reader_.content(id);
    entry.content = OVL_TRY(hash_content(*source));
  }
  manifest_.add(std::move(entry));
  return {};
}

}  // namespace

Result<Manifest> scan_layers(const StackOptions& options) {
  const auto stack = OVL_TRY(Stack::open(options));
  return LayersScanner(*stack).scan();
}

}  // namespace ovl
