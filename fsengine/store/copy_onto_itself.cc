// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/copy_onto_itself.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

#include "fsengine/base/read_at.h"

namespace ovl {

Status copy_onto_itself(Os& os, int file, uint64_t offset, uint64_t length) {
  constexpr uint64_t kMost = 1 << 20;
  const uint64_t end = offset + length;
  std::vector<std::byte> buffer;
  for (off_t data = static_cast<off_t>(offset);
       (data = ::lseek(file, data, SEEK_DATA)) >= 0 &&
       static_cast<uint64_t>(data) < end;) {
    const off_t hole = ::lseek(file, data, SEEK_HOLE);
    if (hole < 0)
      return last_error("lseek");
    const uint64_t to = std::min(end, static_cast<uint64_t>(hole));
    for (auto at = static_cast<uint64_t>(data); at < to; at += buffer.size()) {
      buffer.resize(std::min(kMost, to - at));
      OVL_TRY(read_at(file, at, buffer));
      OVL_TRY(os.pwrite(file, buffer, at));
    }
    data = hole;
  }
  return {};
}

}  // namespace ovl
