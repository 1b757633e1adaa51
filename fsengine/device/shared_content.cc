// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/shared_content.h"

#include <cerrno>

namespace ovl {
namespace {

// Less is as well copied.
constexpr uint64_t kLeastBytes = 64 << 10;

// It will not be otherwise for the next file.
bool is_for_all(const Error& error) {
  return error.code() == EOPNOTSUPP || error.code() == EXDEV ||
         error.code() == ENOTTY || error.code() == EINVAL ||
         error.code() == ENOSYS;
}

}  // namespace

uint64_t SharedContent::share(int to, Ino ino, uint64_t at, uint64_t end) {
  if (is_impossible_ || at % kBlockSize != 0 || end - at < kLeastBytes)
    return 0;
  const LowerParts::Part part =
      parts_.at(ino, at, end / kBlockSize * kBlockSize);
  if (part.node == kNoNode || part.length < kLeastBytes)
    return 0;
  const auto from = files_.hold(part.node);
  if (!from)
    return 0;  // a copy will tell
  const auto shared =
      os_.share_range((*from)->get(), part.offset, to, at, part.length);
  if (!shared) {
    is_impossible_ = is_for_all(shared.error());
    return 0;
  }
  return files_.hold(part.node) ? part.length : 0;
}

}  // namespace ovl
