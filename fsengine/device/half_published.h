// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/publish_plan.h"

namespace ovl {

/// Where files of upper's are while a plan is carried out, and when it has
/// failed half way. The essay is in the .cc. For any thread.
class HalfPublished {
 public:
  HalfPublished(const PublishPlan& plan, Fd staging);

  /// The file that will have `path` beneath `upper` once all is done, which is
  /// the inode `ino`. ESTALE when it is at none of its places.
  Result<Fd> open(int upper, const std::string& path, uint64_t ino) const;

 private:
  using Paths = std::unordered_map<std::string, std::string>;

  Paths::const_iterator longest_placed(std::string_view path) const;

  const Fd staging_;
  Paths staged_;  // names in staging, by paths at the end
  Paths before_;  // paths before all steps, by names in staging
};

}  // namespace ovl
