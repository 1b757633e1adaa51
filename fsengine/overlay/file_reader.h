// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "fsengine/base/block_source.h"
#include "fsengine/overlay/stack.h"

namespace ovl {

/// Where messages for the operator go, one line each. Safe for any thread.
using Report = std::function<void(const std::string& line)>;

/// Reads the content of layers' files in place, with a bounded set of open
/// files. A file that is not what the scan saw gives EIO, and is reported
/// once, with its path. Safe for concurrent use; the stack outlives it.
class FileReader {
 public:
  FileReader(const Stack& stack, Report report)
      : stack_(stack), report_(std::move(report)) {}

  /// Bytes of regular file `id` of a layer; zeros past its size. A metacopy
  /// file has the bytes of its source.
  Status read(NodeId id, uint64_t offset, std::span<std::byte> out);

  /// The content of a regular file as a source, read through this.
  std::unique_ptr<BlockSource> content(NodeId id);

 private:
  using File = std::shared_ptr<const BlockSource>;
  struct OpenFile {
    NodeId id;
    File file;
  };
  struct Shard {
    std::mutex mutex;
    std::list<OpenFile> recent;  // most recently used first
    std::unordered_map<NodeId, std::list<OpenFile>::iterator> by_id;
  };

  static constexpr size_t kShards = 16;
  static constexpr size_t kFilesPerShard = 24;

  Result<File> open(NodeId id) const;
  Result<File> find_or_open(NodeId id);
  Status read_content(NodeId id, uint64_t offset, std::span<std::byte> out);
  tl::unexpected<Error> drifted(NodeId id, const Error& cause);

  const Stack& stack_;
  const Report report_;
  Shard shards_[kShards];
  std::mutex reported_mutex_;
  std::unordered_set<NodeId> reported_;
};

}  // namespace ovl
