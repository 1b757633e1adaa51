// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/file_reader.h"

#include <algorithm>
#include <cerrno>

#include "fsengine/base/paths.h"

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

Stamp stamp_of(const Node& node) {
  const bool ours = node.layer == 0;  // we change the status ourselves
  return {node.host_ino, node.size, node.mtime_sec, node.mtime_nsec,
          ours ? 0 : node.ctime_tag};
}

}  // namespace

std::unique_ptr<BlockSource> FileReader::content(NodeId id) {
  return std::make_unique<NodeContent>(*this, id, stack_.pool()[id].size);
}

Result<FileReader::Handle> FileReader::open_dir(NodeId id) {
  if (Handle dir = dirs_.find(id))
    return dir;
  const NodePool& pool = stack_.pool();
  const Node& node = pool[id];
  return dirs_.keep(
      id, OVL_TRY(stack_.layer(node.layer).open_dir(host_path(pool, node))));
}

Result<Fd> FileReader::open(NodeId id) {
  const Node& node = stack_.pool()[id];
  const Handle dir = OVL_TRY(open_dir(node.host_dir));
  return open_host_file(dir->get(),
                        std::string(stack_.pool().strings.get(node.host_name)));
}

// The process may have used up its descriptors for something else.
Result<Fd> FileReader::open_or_make_room(NodeId id) {
  auto file = open(id);
  if (file || (file.error().code() != EMFILE && file.error().code() != ENFILE))
    return file;
  files_.clear();
  dirs_.clear();
  return open(id);
}

// What is read whole is done with: a stream over small files would only push
// out those that are read in parts.
Result<Since> FileReader::read_content(NodeId id, uint64_t offset,
                                       std::span<std::byte> out,
                                       const BeforeWait& before_wait) {
  const Stamp stamp = stamp_of(stack_.pool()[id]);
  if (out.size() == stamp.size) {
    const Fd file = OVL_TRY(open_or_make_room(id));
    return read_host_file(file.get(), stamp, offset, out, before_wait);
  }
  Handle file = files_.find(id);
  if (!file)
    file = files_.keep(id, OVL_TRY(open_or_make_room(id)));
  return read_host_file(file->get(), stamp, offset, out, before_wait);
}

NodeId FileReader::data_of(NodeId id) const {
  if (const auto at = now_.find(id); at != now_.end())
    id = at->second;
  const Node& node = stack_.pool()[id];
  return node.source == kNoNode ? id : node.source;
}

Status FileReader::read(NodeId id, uint64_t offset, std::span<std::byte> out,
                        const BeforeWait& before_wait) {
  const NodePool& pool = stack_.pool();
  const NodeId data = data_of(id);
  const uint64_t size = std::min(pool[id].size, pool[data].size);
  const uint64_t left = size > offset ? size - offset : 0;
  const auto content = out.first(std::min<size_t>(out.size(), left));
  std::ranges::fill(out.subspan(content.size()), std::byte{0});
  if (content.empty())
    return {};
  const auto since = read_content(data, offset, content, before_wait);
  if (!since)
    return drifted(data, since.error());
  if (*since == Since::kTouched)
    touched(data);
  return {};
}

Result<FileReader::Handle> FileReader::hold(NodeId id) {
  const NodeId data = data_of(id);
  Handle file = files_.find(data);
  if (!file)
    file = files_.keep(data, OVL_TRY(open_or_make_room(data)));
  OVL_TRY(check_host_file(file->get(), stamp_of(stack_.pool()[data])));
  return file;
}

Status FileReader::check(NodeId id) {
  const auto file = hold(id);
  return file ? Status() : drifted(data_of(id), file.error());
}

void FileReader::expect(NodeId id, uint64_t offset, uint64_t length) {
  const NodeId data = data_of(id);
  if (const Handle kept = files_.find(data)) {
    expect_host_file(kept->get(), offset, length);
    return;
  }
  if (const auto file = open_or_make_room(data))
    expect_host_file(file->get(), offset, length);
}

tl::unexpected<Error> FileReader::drifted(NodeId id, const Error& cause) {
  if (expects_changes_ && stack_.pool()[id].layer == 0)
    return fail(ESTALE, "read " + name_of(id) + ": " + cause.what());
  const Error error(EIO, "read " + name_of(id) + ": " + cause.what());
  const std::lock_guard lock(reported_mutex_);
  if (reported_.insert(id).second)
    report_(error.what());
  return tl::unexpected(error.as_reported());
}

void FileReader::touched(NodeId id) {
  if (!touch_reported_.exchange(true))
    report_(name_of(id) +
            ": owner, mode, attributes or links changed since it was scanned; "
            "its bytes are taken for the same, and so are those of others "
            "like it, in silence");
}

std::string FileReader::name_of(NodeId id) const {
  const Node& node = stack_.pool()[id];
  return join_path(stack_.layer(node.layer).name(),
                   host_path(stack_.pool(), node));
}

}  // namespace ovl
