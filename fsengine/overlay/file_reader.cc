// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/file_reader.h"

#include <algorithm>
#include <cerrno>

namespace ovl {

namespace {

class NodeContent : public BlockSource {
 public:
  NodeContent(FileReader& reader, NodeId id, uint64_t size)
      : reader_(reader), id_(id), size_(size) {}
  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    return reader_.read(id_, offset, out);
  }

 private:
  FileReader& reader_;
  const NodeId id_;
  const uint64_t size_;
};

}  // namespace

std::unique_ptr<BlockSource> FileReader::content(NodeId id) {
  return std::make_unique<NodeContent>(*this, id, stack_.pool()[id].size);
}

Result<FileReader::File> FileReader::open(NodeId id) const {
  const Node& node = stack_.pool()[id];
  const Stamp stamp{node.host_ino, node.size, node.mtime_sec, node.mtime_nsec};
  return File(OVL_TRY(stack_.layer(node.layer)
                          .open_file(host_path(stack_.pool(), node), stamp)));
}

Result<FileReader::File> FileReader::find_or_open(NodeId id) {
  Shard& shard = shards_[to_int(id) % kShards];
  {
    const std::lock_guard lock(shard.mutex);
    if (const auto at = shard.by_id.find(id); at != shard.by_id.end()) {
      shard.recent.splice(shard.recent.begin(), shard.recent, at->second);
      return at->second->file;
    }
  }
  const File file = OVL_TRY(open(id));
  const std::lock_guard lock(shard.mutex);
  if (shard.by_id.contains(id))
    return file;
  shard.recent.push_front({id, file});
  shard.by_id[id] = shard.recent.begin();
  if (shard.recent.size() > kFilesPerShard) {
    shard.by_id.erase(shard.recent.back().id);
    shard.recent.pop_back();
  }
  return file;
}

Status FileReader::read_content(NodeId id, uint64_t offset,
                                std::span<std::byte> out) {
  const File file = OVL_TRY(find_or_open(id));
  return file->read(offset, out);
}

Status FileReader::read(NodeId id, uint64_t offset, std::span<std::byte> out) {
  const NodePool& pool = stack_.pool();
  const NodeId data = pool[id].source == kNoNode ? id : pool[id].source;
  const uint64_t size = std::min(pool[id].size, pool[data].size);
  const uint64_t left = size > offset ? size - offset : 0;
  const auto content = out.first(std::min<size_t>(out.size(), left));
  std::ranges::fill(out.subspan(content.size()), std::byte{0});
  if (content.empty())
    return {};
  if (auto status = read_content(data, offset, content); !status)
    return drifted(data, status.error());
  return {};
}

tl::unexpected<Error> FileReader::drifted(NodeId id, const Error& cause) {
  const Node& node = stack_.pool()[id];
  const Error error(EIO, "read " + stack_.layer(node.layer).name() + "/" +
                             host_path(stack_.pool(), node) + ": " +
                             cause.what());
  const std::lock_guard lock(reported_mutex_);
  if (reported_.insert(id).second)
    report_(error.what());
  return tl::unexpected(error);
}

}  // namespace ovl
