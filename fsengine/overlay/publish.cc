// SPDX-License-Identifier: BSD-3-Clause
//
// A step is told done from not done by identity: the inode number of the
// staged object is either still in staging or already at its place. Renames
// and exchanges are atomic, so there is no third state of our making.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/publish_plan.h"

namespace ovl {
namespace {

// The inode number under a name, or nothing.
Result<std::optional<uint64_t>> ino_at(const At& at) {
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0)
    return st.st_ino;
  if (errno == ENOENT)
    return std::nullopt;
  return last_error("stat");
}

// Moving a directory changes its "..", which takes permission to write it.
Status ensure_movable(Os& os, const At& at) {
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return last_error("stat");
  const bool barred = S_ISDIR(st.st_mode) && (st.st_mode & 0700) != 0700;
  return barred ? os.chmod(at, st.st_mode | 0700) : Status();
}

Status remove_name(Os& os, const NameStep& step, const At& name,
                   const At& staged) {
  if (OVL_TRY(ino_at(name)) != step.ino)
    return {};
  OVL_TRY(ensure_movable(os, name));
  return os.rename(name, staged, Rename::kNoReplace);
}

Status place_name(Os& os, const NameStep& step, const At& name,
                  const At& staged) {
  if (OVL_TRY(ino_at(staged)) != step.ino) {
    if (OVL_TRY(ino_at(name)) == step.ino)
      return {};
    return system_error(ESTALE, "neither staged nor published");
  }
  if (step.kind == NameStep::Kind::kAdd)
    return os.rename(staged, name, Rename::kNoReplace);
  if (step.kind == NameStep::Kind::kReplace)
    return os.rename(staged, name, Rename::kReplace);
  OVL_TRY(ensure_movable(os, name));
  return os.rename(staged, name, Rename::kExchange);
}

Status carry_out(Os& os, int upper, int staging, const NameStep& step) {
  const Fd dir = OVL_TRY(open_beneath(upper, step.dir, O_RDONLY | O_DIRECTORY));
  const At name{dir.get(), step.name};
  const At staged{staging, step.staged};
  return step.kind == NameStep::Kind::kRemove
             ? remove_name(os, step, name, staged)
             : place_name(os, step, name, staged);
}

struct Located {
  Fd dir;
  At at;
};

Result<Located> locate(int upper, const std::string& path) {
  const SplitPath split = split_path(path);
  Fd dir = OVL_TRY(open_beneath(upper, split.dir, O_RDONLY | O_DIRECTORY));
  const int fd = dir.get();
  return Located{std::move(dir),
                 {fd, path.empty() ? "." : std::string(split.name)}};
}

Status unlock(Os& os, int upper, const UnlockStep& step) {
  const Located place = OVL_TRY(locate(upper, step.path));
  return os.chmod(place.at, step.mode);
}

Status settle(Os& os, int upper, const AttributeStep& step) {
  const Located place = OVL_TRY(locate(upper, step.path));
  return apply_attributes(os, place.at, step.change);
}

Status check_upper(int upper, const PublishPlan& plan) {
  if (OVL_TRY(ino_at({upper, "."})) == plan.upper_ino)
    return {};
  return system_error(ESTALE, "the plan in workdir is for another one");
}

}  // namespace

Status publish(Os& os, int upper, int staging, const PublishPlan& plan) {
  OVL_TRY(check_upper(upper, plan).in("upperdir"));
  for (const UnlockStep& step : plan.unlocks)
    OVL_TRY(unlock(os, upper, step).in("upperdir: " + step.path));
  for (const NameStep& step : plan.names)
    OVL_TRY(carry_out(os, upper, staging, step)
                .in("upperdir: " + join_path(step.dir, step.name)));
  for (const AttributeStep& step : plan.attributes)
    OVL_TRY(settle(os, upper, step).in("upperdir: " + step.path));
  return os.syncfs(upper).in("upperdir");
}

}  // namespace ovl
