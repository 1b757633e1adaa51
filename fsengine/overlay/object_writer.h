// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <span>
#include <string>

#include "fsengine/base/change.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/upper_target.h"

namespace ovl {

/// Makes objects in staging as upper must have them. Errors name the call, not
/// the path.
class ObjectWriter {
 public:
  explicit ObjectWriter(const UpperTarget& target) : target_(target) {}

  /// Makes anything but a directory: content, then attributes. `path`, where it
  /// will be in upper, is for messages. False: upper's file system cannot have
  /// it, and it is to be left out; nothing was made.
  Result<bool> make(const At& at, NodeId id, const std::string& path);

  /// Makes a file that holds, at their offsets, the data in `content` of
  /// regular file `id`.
  Status make_patch(const At& at, NodeId id, const ContentChange& content);

  Status make_whiteout(const At& at);

  /// Gives a new object all of the node's attributes, its time last.
  Status set_attributes(const At& at, const Node& node,
                        const std::function<std::string()>& path);

  Status set_opaque(const At& at);
  Status set_redirect(const At& at, const std::string& path);

 private:
  Status make_object(const At& at, NodeId id);
  Status make_null_device(const At& at);
  Status make_file(const At& at, NodeId id);
  Status complete(int fd, NodeId id, std::span<const ByteRange> has);
  Status punch_holes(int fd, const Node& node, std::span<const DataRun> runs);
  Status copy_lacking(int fd, NodeId id, const BlockSource& from,
                      const ByteRange& range, std::span<const ByteRange>& has);
  Status share_or_copy(int fd, NodeId id, const BlockSource& from, uint64_t at,
                       uint64_t end);
  Status copy_range(int fd, const BlockSource& from, uint64_t at, uint64_t end);

  const UpperTarget& target_;
};

}  // namespace ovl
