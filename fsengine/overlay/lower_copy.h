// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/base/hole_map.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/copy_record.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/upper_target.h"

namespace ovl {

/// A copy of a lower's file that grows by chunks, and is gone on with after a
/// kill or a loss of power. The essay is in the .cc. For one thread at a time.
class LowerCopy {
 public:
  /// A regular file of a lower, with bytes of its own. All outlives the copy.
  struct Source {
    const NodePool& pool;
    NodeId node;
    FileReader& files;
  };

  /// Takes up the copy in `copies` (workdir/ovl/copies), or begins one; of
  /// another file, or damaged, it is begun anew. When the lower's file has
  /// drifted it is removed, and the error is that of reading the file.
  /// REQUIRES: staging is empty.
  static Result<std::unique_ptr<LowerCopy>> open(Os& os, int copies,
                                                 const Source& source);
  /// Removes those in `copies` that are in upper already, or mean nothing.
  /// REQUIRES: staging is empty.
  static Status sweep(Os& os, int copies);
  static Status remove_all(Os& os, int copies);

  /// It is not what the scan saw, as opposed to that it cannot be read now.
  static bool has_drifted(const Source& source);

  NodeId node() const { return source_.node; }
  uint64_t chunks() const { return record_.chunks.size(); }
  bool has(uint64_t chunk) const {
    return chunk < chunks() && record_.chunks[chunk];
  }

  bool is_empty() const;

  /// Copies chunks, and has them: durable when it returns. After an error it
  /// has what it had.
  Status copy(std::span<const uint64_t> chunks);

  /// Can the lower's file give its space to the copy? REQUIRES: it has nothing.
  Result<bool> can_share() const;

  /// Puts the copy there, in staging, for a file of which `kept`, in order and
  /// whole blocks of chunks that it has, is the lower's, and nothing else. From
  /// then on it has only chunks that stay as they are. False: it was given
  /// already, or the host's file system has no links.
  Result<bool> give(const At& at, std::span<const ByteRange> kept);

 private:
  LowerCopy(Os& os, const Source& source, Fd directory)
      : os_(os),
        source_(source),
        directory_(std::move(directory)),
        runs_(data_runs(source.pool, source.pool[source.node])) {}

  static bool is_of_use(int copies, const std::string& name);
  static Status remove(Os& os, int copies, const std::string& name);
  Status take_up(const LowerIdentity& identity);
  Status begin(const LowerIdentity& identity);
  Status make_plain();
  Result<Fd> open_data() const;
  Status copy_chunk(int data, uint64_t chunk, std::span<std::byte> buffer);
  void keep_only(std::span<const ByteRange> kept);

  Os& os_;
  const Source source_;
  const Fd directory_;
  const std::vector<DataRun> runs_;  // of the lower's file
  CopyRecord record_;
};

}  // namespace ovl
