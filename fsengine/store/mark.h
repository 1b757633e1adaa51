// SPDX-License-Identifier: BSD-3-Clause
//
// The one atomic record of the state in workdir/ovl (FORMAT.md, "The mark").
// For one thread at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/store/log_format.h"

namespace ovl {

/// What the blocks of a store are a change to. They mean nothing over any
/// other image.
struct BaseIdentity {
  uint64_t size = 0;  // of the device in bytes
  uint64_t fingerprint = 0;

  bool operator==(const BaseIdentity&) const = default;
};

/// Is upper what was applied last?
enum class Phase : uint32_t {
  kWriting = 1,     // yes; the guest has written since
  kPublishing = 2,  // perhaps not: a write-back may be half done
  kSettled = 3,     // yes; it shows the device, unmounted cleanly
  kCheckpointing =
      4,  // perhaps not: publishing may be half done; then kWriting
};

struct MarkState {
  Phase phase = Phase::kWriting;
  BaseIdentity base;
  Position folded{};
  Position durable{};  // at least so far the log and its blocks are on disk
  uint64_t opened_sequence = 0;
  Position applied{};
  uint32_t applied_transaction = 0;
  uint64_t catalog = 0;
  // A sync of log or store failed: what the host has of them in memory may not
  // be on disk, and it does not know.
  bool is_doubtful = false;

  bool operator==(const MarkState&) const = default;
};

class Mark {
 public:
  /// Opens the mark in `directory` (workdir/ovl), which outlives it. ENOENT
  /// when there is none, EPROTO when it is of an unknown version, EUCLEAN when
  /// it is damaged.
  static Result<std::unique_ptr<Mark>> open(Os& os, int directory);
  /// Makes one, durably, in place of any that is there.
  static Result<std::unique_ptr<Mark>> create(Os& os, int directory,
                                              const MarkState& state);
  /// Durably; no error when there is none.
  static Status remove(Os& os, int directory);

  const MarkState& state() const { return state_; }

  /// Durable when it returns. After an error the old state counts, on disk
  /// and here, or, on disk, the new one: is_unsure(), until one is set.
  Status set(const MarkState& state);
  bool is_unsure() const { return is_unsure_; }

 private:
  Mark(Os& os, Fd fd) : os_(os), fd_(std::move(fd)) {}

  Os& os_;
  Fd fd_;
  MarkState state_;
  uint64_t number_ = 0;
  bool is_unsure_ = false;
};

}  // namespace ovl
