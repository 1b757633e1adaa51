// SPDX-License-Identifier: BSD-3-Clause
//
// The files of the log, used again for later segments. A new one has its space,
// so that the host's disk is full for all of it or for nothing, but was not
// written: that is for who syncs it often.
//
// A LogSegment is held by the log's end, by generations, and through them by
// readers; when nobody holds it, its file is free. Who lets go of it must know
// that the log does not need it any more. The pool outlives its segments. Safe
// for concurrent use.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/mutex.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

class SegmentPool;

/// One file of the log, in use.
class LogSegment {
 public:
  LogSegment(SegmentPool& pool, uint32_t number, Fd fd);
  ~LogSegment();
  LogSegment(const LogSegment&) = delete;
  LogSegment& operator=(const LogSegment&) = delete;

  int fd() const { return fd_.get(); }
  uint32_t number() const { return number_; }
  /// All of it was written before, so that a sync of what is written now
  /// changes nothing of the host's metadata.
  bool is_filled() const { return is_filled_; }

 private:
  SegmentPool& pool_;
  const uint32_t number_;
  Fd fd_;
  const bool is_filled_;
};
using SegmentRef = std::shared_ptr<const LogSegment>;

class SegmentPool {
 public:
  /// Makes files of `blocks` blocks in `directory` (workdir/ovl/log), which
  /// outlives it.
  SegmentPool(Os& os, int directory, uint32_t blocks)
      : os_(os), directory_(directory), blocks_(blocks) {}

  uint32_t segment_blocks() const { return blocks_; }

  /// Takes up the files that are there: those in `live`, in that order, as
  /// segments; the others are free.
  Result<std::vector<SegmentRef>> adopt(std::span<const uint32_t> live);

  /// A segment whose content means nothing, made if need be, its name and size
  /// durable.
  Result<SegmentRef> acquire();
  /// Makes a free one, unless there is one.
  Status prepare();
  /// Writes zeros to blocks of a segment's file.
  Status fill(int fd, uint32_t first_block, uint32_t end_block);

  /// Segments in use.
  uint64_t live() const { return live_.load(std::memory_order_relaxed); }

  /// Removes all files. REQUIRES: no segment is in use.
  Status remove_files();
  /// Removes free files while there are more than `most` files. REQUIRES: the
  /// segment that was begun last is in use: the next start looks for it.
  void trim(uint64_t most);

 private:
  friend class LogSegment;
  struct File {
    uint32_t number;
    Fd fd;
  };

  Result<File> make_file();
  Status allocate(int fd);
  void give_back(File file);
  std::optional<File> take_free();
  std::optional<File> take_free_beyond(uint64_t most);
  uint32_t take_number();
  uint64_t size() const { return uint64_t{blocks_} * kBlockSize; }

  Os& os_;
  const int directory_;
  const uint32_t blocks_;
  std::atomic<uint64_t> live_ = 0;
  mutable Mutex mutex_;
  std::vector<File> free_ OVL_GUARDED_BY(mutex_);
  std::set<uint32_t> numbers_ OVL_GUARDED_BY(mutex_);  // of files there are
};

}  // namespace ovl
