// SPDX-License-Identifier: BSD-3-Clause
//
// A set of device blocks, as runs: a trim of the whole device is one.
#pragma once

#include <cstdint>
#include <map>

#include "fsengine/base/result.h"
#include "fsengine/base/units.h"

namespace ovl {

class BlockSet {
 public:
  /// Adds [block, block + count). False when one of them was in it already.
  bool add(BlockNo block, uint64_t count);
  bool test(BlockNo block) const;
  bool empty() const { return runs_.empty(); }
  void clear() { runs_.clear(); }

  struct Run {
    BlockNo first{};
    uint64_t count = 0;
  };
  /// Calls `visit(Run)`, which returns a Status, for runs in order, none of
  /// which touch. Ends with the first error.
  template <typename Visit>
  Status for_each_run(Visit visit) const {
    for (const auto& [first, end] : runs_) {
      Status status = visit(Run{BlockNo{first}, end - first});
      if (!status)
        return status;
    }
    return {};
  }

 private:
  std::map<uint64_t, uint64_t>
      runs_;  // from the first block to behind the last
};

}  // namespace ovl
