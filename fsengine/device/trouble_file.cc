// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/trouble_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

constexpr const char* kName = "trouble";
constexpr const char* kNewName = "trouble.new";
constexpr size_t kMostBytes = 64 << 10;  // paths of a guest may be in it

Status write(Os& os, int state_dir, const std::string& what) {
  const Fd fd = OVL_TRY(
      os.open_file({state_dir, kNewName}, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  const std::string line = what.substr(0, kMostBytes - 1) + "\n";
  OVL_TRY(os.pwrite(fd.get(), std::as_bytes(std::span(line)), 0));
  return os.rename({state_dir, kNewName}, {state_dir, kName}, Rename::kReplace);
}

}  // namespace

void note_trouble(Os& os, int state_dir, const std::string& what) {
  (void)write(os, state_dir, what);
}

void forget_trouble(Os& os, int state_dir) {
  (void)os.unlink({state_dir, kName});
}

Result<std::string> read_trouble(int state_dir) {
  const Fd fd(::openat(state_dir, kName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open() && errno == ENOENT)
    return "";
  struct stat st {};
  if (!fd.is_open() || ::fstat(fd.get(), &st) != 0)
    return last_error(kName);
  std::string line(std::min(static_cast<size_t>(st.st_size), kMostBytes), '\0');
  OVL_TRY(read_at(fd.get(), 0, std::as_writable_bytes(std::span(line))));
  line.resize(std::min(line.size(), line.find('\n')));
  return line;
}

}  // namespace ovl
