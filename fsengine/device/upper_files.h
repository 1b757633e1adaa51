// SPDX-License-Identifier: BSD-3-Clause
//
// Upper's regular files, read in place while checkpoints change upper. The
// essay is in the .cc. Reads are for any thread; changes are for the one that
// makes checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>

#include "fsengine/base/change.h"
#include "fsengine/base/mutex.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/descriptor_cache.h"
#include "fsengine/overlay/host_file.h"

namespace ovl {

class UpperFiles {
 public:
  /// A file of upper's, one inode: an object that is made anew gets another.
  using Key = NodeId;
  /// The path of an object beneath upper, or nothing. For any thread.
  using PathOf = std::function<std::string(const ObjectId&)>;

  /// `upper` outlives it.
  explicit UpperFiles(int upper) : upper_(upper) {}

  /// A file that is not at its path, or has none: the guest has it open, or a
  /// checkpoint is taking it there. ESTALE when that is not so.
  using OpenElsewhere = std::function<Result<Fd>(const ObjectId&, uint64_t)>;

  /// REQUIRES: called once, before anything is known.
  void find_by(PathOf path_of, OpenElsewhere open_elsewhere) {
    path_of_ = std::move(path_of);
    open_elsewhere_ = std::move(open_elsewhere);
  }

  /// Fills `out`, with zeros past the end. ESTALE when the file is not what it
  /// is known as: wait_until_quiet(), look up the key again, and try again.
  Status read(Key key, uint64_t offset, std::span<std::byte> out);
  /// The same by identity, of an object whose bytes no checkpoint has changed;
  /// ESTALE for others.
  Status read_unchanged(const ObjectId& id, uint64_t offset,
                        std::span<std::byte> out);

  /// Held by whoever changes upper, until all is known as it is then.
  SharedMutex& quiet() OVL_RETURNS_MUTEX(quiet_) { return quiet_; }
  void wait_until_quiet() { const ReaderLock lock(quiet_); }

  /// The key of an object, or kNoNode.
  Key find(const ObjectId& id) const;
  /// What an object is known as from now on.
  Key set(const ObjectId& id, const Stamp& stamp);
  /// Size and time of a file are about to change, and perhaps its bytes.
  void expect_change(const ObjectId& id, bool of_bytes);
  /// Upper has no such file any more.
  void forget(const ObjectId& id);

 private:
  using Handle = DescriptorCache::Handle;
  struct Known {
    ObjectId id;
    Stamp stamp;
    bool is_changing = false;  // only the inode number counts
    bool has_changed = false;  // its bytes are not those of the start
  };
  struct Hash {
    size_t operator()(const ObjectId& id) const {
      return (uint64_t{to_int(id.ino)} << 32 | id.generation) *
             0x9e3779b97f4a7c15;
    }
  };

  Result<Known> known(Key key) const;
  Status expect_unchanged(Key key) const;
  Result<Handle> open(Key key, const Known& known);
  Result<Fd> open_by_path(const Known& known) const;
  std::string place_of(const ObjectId& id) const;

  const int upper_;
  PathOf path_of_;
  OpenElsewhere open_elsewhere_;
  SharedMutex quiet_;
  mutable SharedMutex known_mutex_;
  std::unordered_map<Key, Known> known_ OVL_GUARDED_BY(known_mutex_);
  std::unordered_map<ObjectId, Key, Hash> keys_ OVL_GUARDED_BY(known_mutex_);
  uint32_t last_key_ OVL_GUARDED_BY(known_mutex_) = 0;
  DescriptorCache files_{descriptor_budget() / 2};
};

}  // namespace ovl
