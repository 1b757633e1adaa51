// SPDX-License-Identifier: BSD-3-Clause
//
// The file `record` of a copy that is made ahead (FORMAT.md, "Copies").
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"

namespace ovl {

inline constexpr uint64_t kCopyChunk = 1 << 20;

/// By which a lower's file is known again after a restart.
struct LowerIdentity {
  uint32_t layer = 0;
  uint64_t ino = 0;
  uint64_t size = 0;
  Timestamp mtime;
  std::optional<Timestamp> birth;

  uint64_t chunks() const {
    return size / kCopyChunk + (size % kCopyChunk != 0 ? 1 : 0);
  }
  bool operator==(const LowerIdentity&) const = default;
};

struct CopyRecord {
  LowerIdentity of;
  bool is_taken = false;     // it has been in staging
  std::vector<bool> chunks;  // that it has; as many as of.chunks()
};

/// Takes the place of the old one, durably. `directory` is the copy's.
Status write_copy_record(Os& os, int directory, const CopyRecord& record);

/// ENOENT when there is none, EPROTO when it is of an unknown version, EUCLEAN
/// when it is damaged.
Result<CopyRecord> read_copy_record(int directory);

/// Durably; no error when there is none.
Status remove_copy_record(Os& os, int directory);

}  // namespace ovl
