// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/mapping_difference.h"

#include <algorithm>

namespace ovl {

namespace {

// Walks the runs of a file, holes between them.
class RunCursor {
 public:
  explicit RunCursor(std::span<const MapRun> runs) : runs_(runs) {}

  /// What `at` is, and until where that is so. REQUIRES: at does not fall.
  std::optional<MappedTo> look(uint64_t at, uint64_t& end) {
    while (!done() && end_of(runs_.front()) <= at)
      runs_ = runs_.subspan(1);
    if (done())
      return std::nullopt;
    const MapRun& run = runs_.front();
    if (run.file_block > at) {
      end = std::min<uint64_t>(end, run.file_block);
      return std::nullopt;
    }
    end = std::min(end, end_of(run));
    return MappedTo{static_cast<uint32_t>(run.device + (at - run.file_block)),
                    run.kind};
  }

 private:
  bool done() const {
    return runs_.empty() || runs_.front().kind == RunKind::kMap;
  }
  static uint64_t end_of(const MapRun& run) {
    return uint64_t{run.file_block} + run.count;
  }

  std::span<const MapRun> runs_;
};

bool same(const std::optional<MappedTo>& a, const std::optional<MappedTo>& b) {
  return a.has_value() == b.has_value() &&
         (!a || (a->device == b->device && a->kind == b->kind));
}

}  // namespace

void compare_mappings(
    std::span<const MapRun> before, std::span<const MapRun> now,
    const std::function<void(const MappingDifference&)>& visit) {
  constexpr uint64_t kEnd = uint64_t{1} << 33;  // behind any file
  RunCursor old_runs(before);
  RunCursor new_runs(now);
  for (uint64_t at = 0; at < kEnd;) {
    uint64_t end = kEnd;
    const auto was = old_runs.look(at, end);
    const auto is = new_runs.look(at, end);
    if (!same(was, is))
      visit({at, end - at, was, is});
    at = end;
  }
}

}  // namespace ovl
