// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <map>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/live_tree.h"

namespace ovl {

/// Files of upper that were not as the catalog has them when a server found
/// them: an earlier one was killed behind publishing, or somebody else changed
/// them. For the thread that makes checkpoints.
class Strangers {
 public:
  /// Takes note of a file, when it is one: true. `kept` is the catalog's.
  bool add_if(const ObjectId& id, const FileStamp& found,
              const FileStamp& kept);
  /// ESTALE with a path when there is one that is not as `changes` make it
  /// either: the guest's file as it is to become is as good as ours.
  Status check(const Changes& changes, const LiveTree& live) const;
  /// They were brought up to date.
  void clear() { files_.clear(); }

 private:
  struct Stranger {
    FileStamp found;
    FileStamp kept;
  };
  std::map<ObjectId, Stranger> files_;
};

}  // namespace ovl
