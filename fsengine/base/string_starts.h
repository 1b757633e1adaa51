// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/string_pool.h"

namespace ovl {

/// Which references of a pool that came out of a file are strings: a bit for
/// each byte of the pool. EUCLEAN when its strings do not fill its chunks.
class StringStarts {
 public:
  static Result<StringStarts> of(const StringPool& pool);

  bool has(StrRef ref) const {
    const auto position = static_cast<uint32_t>(ref);
    return position < is_start_.size() && is_start_[position];
  }

 private:
  std::vector<bool> is_start_;
};

}  // namespace ovl
