// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/dir_names.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace ovl {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, DirCloser>;

Result<DirStream> open_stream(int dir) {
  // A description of its own: streams share the position of a dup.
  const int fd = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return last_error("open");
  DIR* stream = ::fdopendir(fd);
  if (stream != nullptr)
    return DirStream(stream);
  auto error = last_error("fdopendir");
  ::close(fd);
  return error;
}

}  // namespace

Result<std::vector<std::string>> list_names(int dir) {
  const DirStream stream = OVL_TRY(open_stream(dir));
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..")
      names.emplace_back(name);
  }
  if (errno != 0)
    return last_error("readdir");
  return names;
}

}  // namespace ovl
