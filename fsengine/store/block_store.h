// SPDX-License-Identifier: BSD-3-Clause
//
// What the guest wrote: whole blocks over the base image, in a sparse file of
// workdir/ovl (FORMAT.md, "The store"). Written bytes survive the death of
// the process; they survive loss of power only as far as the host's file
// system orders them, which is no promise. A log takes this one's place.
//
// Nothing exists on disk before the first write. Safe for concurrent use, but
// for create, set_phase and discard, which are for one thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/base/units.h"
#include "fsengine/store/written_map.h"

namespace ovl {

/// What the blocks of a store are a change to. They mean nothing over any
/// other image.
struct BaseIdentity {
  uint64_t size = 0;  // of the device in bytes
  uint64_t fingerprint = 0;

  bool operator==(const BaseIdentity&) const = default;
};

class BlockStore {
 public:
  /// Is upper still what the base was made from?
  enum class Phase {
    kWriting,     // yes
    kPublishing,  // perhaps not: a write-back may be half done
  };

  /// Opens the store in `directory` (workdir/ovl), which outlives it. ENOENT
  /// when there is none; EPROTO when it is of a version or form unknown here;
  /// ESTALE when it was made over another base; EUCLEAN when a write-back was
  /// interrupted.
  static Result<std::unique_ptr<BlockStore>> open(Os& os, int directory,
                                                  const BaseIdentity& base);
  /// The phase of the store in `directory`, or nothing when there is none.
  static Result<std::optional<Phase>> find(int directory);

  /// Makes an empty one.
  static Result<std::unique_ptr<BlockStore>> create(Os& os, int directory,
                                                    const BaseIdentity& base);

  const WrittenMap& written() const { return *written_; }

  /// Reads blocks that are all written.
  Status read(uint64_t offset, std::span<std::byte> out) const;
  /// Writes whole blocks. ENOSPC leaves what was there.
  Status write(BlockNo first, std::span<const std::byte> blocks);
  /// Makes whole blocks zeros, and gives their space back. O(1) in bytes.
  Status zero(BlockNo first, uint64_t count);
  /// Everything written before is on disk. Costs nothing when nothing was.
  /// Once it failed it fails for ever: what the kernel dropped is not known.
  Status flush();

  Status set_phase(Phase phase);
  /// Removes the store in `directory` from disk, if there is one.
  static Status discard(Os& os, int directory);

 private:
  BlockStore(Os& os, int directory, const BaseIdentity& base)
      : os_(os), directory_(directory), base_(base) {}
  Status open_files(int flags);

  Os& os_;
  const int directory_;
  const BaseIdentity base_;
  Fd blocks_;
  Fd map_file_;
  std::unique_ptr<WrittenMap> written_;
  std::atomic<bool> dirty_ = false;
  std::mutex flush_mutex_;
  bool flush_failed_ = false;  // guarded by flush_mutex_
};

}  // namespace ovl
