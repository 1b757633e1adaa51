// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/staging.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <string>
#include <vector>

#include "fsengine/overlay/empty_directory.h"

namespace ovl {
namespace {

const char* const kStaging = "staging";
const char* const kPlan = "plan";
const char* const kStagingPath = "workdir: ovl/staging";
const char* const kPlanPath = "workdir: ovl/plan";

Status write_plan_file(Os& os, int state_dir, const std::string& bytes) {
  const Fd fd = OVL_TRY(
      os.open_file({state_dir, kPlan}, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  OVL_TRY(os.pwrite(fd.get(), std::as_bytes(std::span(bytes)), 0));
  return os.fdatasync(fd.get());
}

Result<std::vector<std::byte>> read_all(int fd) {
  std::vector<std::byte> bytes;
  for (;;) {
    std::byte buffer[65536];
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0)
      return last_error("read");
    if (n == 0)
      return bytes;
    bytes.insert(bytes.end(), buffer, buffer + n);
  }
}

Result<PublishPlan> read_plan_file(int state_dir) {
  const Fd fd(::openat(state_dir, kPlan, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error("open");
  return decode_plan(OVL_TRY(read_all(fd.get())));
}

Result<Fd> open_existing(int state_dir) {
  Fd fd(::openat(state_dir, kStaging,
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error(std::string(kStagingPath) + ": open");
  return fd;
}

}  // namespace

Result<Fd> open_staging(Os& os, int state_dir) {
  auto made = os.make_dir({state_dir, kStaging}, 0700);
  if (!made && made.error().code() != EEXIST)
    return tl::unexpected(made.error().in(kStagingPath));
  OVL_TRY(os.fsync(state_dir).in("workdir: ovl"));
  return open_existing(state_dir);
}

bool has_staging(int state_dir) {
  return open_existing(state_dir).has_value();
}

Status remove_staging(Os& os, int state_dir) {
  const auto staging = open_existing(state_dir);
  if (!staging && staging.error().code() == ENOENT)
    return {};
  if (!staging)
    return tl::unexpected(staging.error());
  OVL_TRY(empty_directory(os, staging->get()).in(kStagingPath));
  return os.remove_dir({state_dir, kStaging}).in(kStagingPath);
}

Status write_plan(Os& os, int state_dir, const PublishPlan& plan) {
  return write_plan_file(os, state_dir, encode_plan(plan)).in(kPlanPath);
}

Result<PublishPlan> read_plan(int state_dir) {
  return read_plan_file(state_dir).in(kPlanPath);
}

Status remove_plan(Os& os, int state_dir) {
  auto removed = os.unlink({state_dir, kPlan});
  if (!removed && removed.error().code() == ENOENT)
    return {};
  return std::move(removed).in(kPlanPath);
}

}  // namespace ovl
