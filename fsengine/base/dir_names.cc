// SPDX-License-Identifier: BSD-3-Clause
//
// getdents64 itself, because fdopendir costs four more system calls, and a
// scan lists every directory of a layer.
#include "fsengine/base/dir_names.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ovl {
namespace {

constexpr size_t kBufferBytes = 32768;

// The kernel's struct linux_dirent64: fixed part, then the name.
constexpr size_t kRecordLength = 16;
constexpr size_t kName = 19;

void append_names(const char* records, size_t size,
                  std::vector<std::string>& names) {
  for (size_t at = 0; at < size;) {
    uint16_t length = 0;
    std::memcpy(&length, records + at + kRecordLength, sizeof(length));
    const std::string_view name = records + at + kName;
    if (name != "." && name != "..")
      names.emplace_back(name);
    at += length;
  }
}

}  // namespace

Result<std::vector<std::string>> list_names(int dir) {
  if (::lseek(dir, 0, SEEK_SET) != 0)
    return last_error("lseek");
  std::vector<std::string> names;
  for (;;) {
    char buffer[kBufferBytes];
    const long n = ::syscall(SYS_getdents64, dir, buffer, sizeof(buffer));
    if (n < 0)
      return last_error("getdents64");
    if (n == 0)
      return names;
    append_names(buffer, static_cast<size_t>(n), names);
  }
}

}  // namespace ovl
