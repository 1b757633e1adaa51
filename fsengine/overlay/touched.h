// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/upper_record.h"

namespace ovl {

/// Paths beneath upper that steps of ours changed, "" for its root: there a
/// record of it from before says nothing.
struct Touched {
  std::vector<std::string> trees;    // with all below
  std::vector<std::string> objects;  // and other names of the same one
  // Host inode numbers of files, under all of their names: that by which a step
  // changed one may have come after the record, and be gone again.
  std::vector<uint64_t> files;

  bool empty() const {
    return trees.empty() && objects.empty() && files.empty();
  }
};

Touched touched_by(const PublishPlan& plan);

/// As find_difference(), but for what is touched: the trees do not count, and
/// of the objects, and of those with a name in the trees, name and type alone.
std::optional<UpperDifference> find_difference(const UpperRecord& kept,
                                               const UpperRecord& now,
                                               const Touched& touched,
                                               ChangeTimes change_times);

}  // namespace ovl
