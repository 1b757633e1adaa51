// SPDX-License-Identifier: BSD-3-Clause
//
// A StringPool to bytes and back (FORMAT.md, "Checked files"). References stay
// what they are.
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/checked_file.h"
#include "fsengine/base/result.h"
#include "fsengine/base/string_pool.h"

namespace ovl {

Status write_strings(CheckedWriter& out, const StringPool& pool);

/// EUCLEAN unless strings fill the chunks.
Result<StringPool> read_strings(CheckedReader& in);

/// Which references are strings of a pool that was read: a bit for each byte.
class StringStarts {
 public:
  StringStarts() = default;
  explicit StringStarts(const StringPool& pool);

  bool has(StrRef ref) const {
    const auto position = static_cast<uint32_t>(ref);
    return position < is_start_.size() && is_start_[position];
  }

 private:
  std::vector<bool> is_start_;
};

}  // namespace ovl
