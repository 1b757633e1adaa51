// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "fsengine/base/block_source.h"
#include "fsengine/overlay/descriptor_cache.h"
#include "fsengine/overlay/host_file.h"
#include "fsengine/overlay/stack.h"

namespace ovl {

/// Where messages for the operator go, one line each. Safe for any thread.
using Report = std::function<void(const std::string& line)>;

/// Reads the content of layers' files in place, with bounded sets of open
/// files and directories. A file that is not what the scan saw gives EIO, and
/// is reported once, with its path. When it is, but for its status, that is
/// told of one file: a tree that is linked elsewhere has many. Safe for
/// concurrent use; the stack outlives it.
class FileReader {
 public:
  FileReader(const Stack& stack, Report report)
      : stack_(stack), report_(std::move(report)) {}

  /// Which object of upper has the bytes of another one now: read instead of
  /// it from now on. REQUIRES: no request is in flight.
  void provide(std::unordered_map<NodeId, NodeId> now) {
    now_ = std::move(now);
  }

  /// Checkpoints change upper: what of its files is not what the scan saw is
  /// ESTALE, and nobody is told. REQUIRES: no request is in flight.
  void expect_changes_of_upper() { expects_changes_ = true; }

  /// Bytes of regular file `id` of a layer; zeros past its size. A metacopy
  /// file has the bytes of its source.
  Status read(NodeId id, uint64_t offset, std::span<std::byte> out,
              const BeforeWait& before_wait = {});

  /// The file that read() would read, open, when it is what the scan saw.
  Result<DescriptorCache::Handle> hold(NodeId id);

  /// Is that file what the scan saw? The error is that of read().
  Status check(NodeId id);

  /// The file with the bytes of `id`: itself, or another object.
  NodeId data_of(NodeId id) const;
  /// Where it stands, for a message.
  std::string name_of(NodeId id) const;

  /// Has the host fetch such bytes, which will be read soon; does not wait.
  void expect(NodeId id, uint64_t offset, uint64_t length);

  /// The content of a regular file as a source, read through this.
  std::unique_ptr<BlockSource> content(NodeId id);

 private:
  using Handle = DescriptorCache::Handle;

  Result<Handle> open_dir(NodeId id);
  Result<Fd> open(NodeId id);
  Result<Fd> open_or_make_room(NodeId id);
  Result<Since> read_content(NodeId id, uint64_t offset,
                             std::span<std::byte> out,
                             const BeforeWait& before_wait);
  tl::unexpected<Error> drifted(NodeId id, const Error& cause);
  void touched(NodeId id);

  const Stack& stack_;
  const Report report_;
  std::unordered_map<NodeId, NodeId> now_;
  bool expects_changes_ = false;
  DescriptorCache files_{descriptor_budget()};
  DescriptorCache dirs_{descriptor_budget()};
  std::atomic<bool> touch_reported_ = false;
  std::mutex reported_mutex_;
  std::unordered_set<NodeId> reported_;
};

}  // namespace ovl
