// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/ballast.h"

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

namespace ovl {
namespace {

const char* const kName = "ballast";
constexpr size_t kBytes = 1 << 20;

Status make(Os& os, int directory) {
  const std::vector<std::byte> bytes(kBytes, std::byte{0xba});
  const Fd fd = OVL_TRY(
      os.open_file({directory, kName}, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  OVL_TRY(os.pwrite(fd.get(), bytes, 0));
  return os.fdatasync(fd.get());
}

}  // namespace

void Ballast::take() {
  const MutexLock lock(mutex_);
  if (has_it_)
    return;
  has_it_ = make(os_, directory_).has_value();
  if (!has_it_)
    (void)os_.unlink({directory_, kName});
}

bool Ballast::give_up() {
  const MutexLock lock(mutex_);
  has_it_ = false;
  return os_.unlink({directory_, kName}).has_value();
}

Status Ballast::remove(Os& os, int directory) {
  auto status = os.unlink({directory, kName});
  if (!status && status.error().code() == ENOENT)
    return {};
  return std::move(status).in(kName);
}

}  // namespace ovl
