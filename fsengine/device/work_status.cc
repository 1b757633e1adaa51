// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/work_status.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/fd.h"
#include "fsengine/device/absent_objects.h"
#include "fsengine/device/places.h"
#include "fsengine/device/trouble_file.h"

namespace ovl {
namespace {

// 0 for what is not there, or not any more.
uint64_t bytes_of(int dir, const std::string& name) {
  constexpr uint64_t kSector = 512;
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return 0;
  return static_cast<uint64_t>(st.st_blocks) * kSector;
}

Result<uint64_t> bytes_in(int state_dir, const char* name) {
  const Fd dir(::openat(state_dir, name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.is_open() && errno == ENOENT)
    return uint64_t{0};
  if (!dir.is_open())
    return last_error(name);
  uint64_t total = 0;
  for (const std::string& file : OVL_TRY(list_names(dir.get()).in(name)))
    total += bytes_of(dir.get(), file);
  return total;
}

Result<WorkStatus> read_state(Os& os, int state_dir) {
  WorkStatus status;
  status.mark = OVL_TRY(Mark::open(os, state_dir))->state();
  status.log_bytes = OVL_TRY(bytes_in(state_dir, "log"));
  status.store_bytes = bytes_of(state_dir, "blocks");
  AbsentObjects absent(os, state_dir);
  OVL_TRY(absent.read());
  status.absent = absent.size();
  status.trouble = OVL_TRY(read_trouble(state_dir));
  return status;
}

}  // namespace

Result<std::optional<WorkStatus>> read_work_status(Os& os,
                                                   const std::string& work) {
  const std::string what = "workdir: " + work;
  const Fd dir(::open(work.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.is_open())
    return last_error(what);
  const Fd state(::openat(dir.get(), "ovl",
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!state.is_open() && errno == ENOENT)
    return std::nullopt;
  if (!state.is_open())
    return last_error(what + "/ovl");
  WorkStatus status = OVL_TRY(read_state(os, state.get()).in(what + "/ovl"));
  status.server = OVL_TRY(Places::holder_of(dir.get()).in(what));
  return status;
}

}  // namespace ovl
