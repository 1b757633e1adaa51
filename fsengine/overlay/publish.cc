// SPDX-License-Identifier: BSD-3-Clause
//
// A step is told done from not done by identity: the inode number of the
// staged object is either still in staging or already at its place. Renames
// and exchanges are atomic, so there is no third state of our making.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/base/units.h"
#include "fsengine/overlay/own_sync.h"
#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/publish_room.h"

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

// Under one of the paths it may be another, or nothing.
Status unlock(Os& os, int upper, const UnlockStep& step) {
  const auto place = locate(upper, step.path);
  if (!place && leads_nowhere(place.error()))
    return {};
  if (!place)
    return tl::unexpected(place.error());
  if (OVL_TRY(ino_at(place->at)) != step.ino)
    return {};
  return os.chmod(place->at, step.mode);
}

// Once later steps are done the path leads elsewhere or nowhere; whether it was
// done is told by the step that places it.
Status take_out(Os& os, int upper, int staging, const MoveStep& step) {
  const At staged{staging, step.staged};
  if (OVL_TRY(ino_at(staged)) == step.ino)
    return {};
  const auto dir = open_beneath(upper, step.dir, O_RDONLY | O_DIRECTORY);
  if (!dir)
    return leads_nowhere(dir.error()) ? Status() : tl::unexpected(dir.error());
  const At name{dir->get(), step.name};
  if (OVL_TRY(ino_at(name)) != step.ino)
    return {};
  OVL_TRY(ensure_movable(os, {dir->get(), "."}));
  OVL_TRY(ensure_movable(os, name));
  return os.rename(name, staged, Rename::kNoReplace);
}

Result<Fd> open_for_patch(Os& os, const At& at) {
  auto file = os.open_file(at, O_RDWR, 0);
  if (file || file.error().code() != EACCES)
    return file;
  OVL_TRY(os.chmod(at, 0600));
  return os.open_file(at, O_RDWR, 0);
}

Status copy_range(Os& os, int from, int to, uint64_t at, uint64_t end) {
  constexpr uint64_t kCopyBytes = 1 << 20;
  std::vector<std::byte> buffer(std::min(kCopyBytes, end - at));
  while (at < end) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), end - at);
    const ssize_t got =
        ::pread(from, buffer.data(), wanted, static_cast<off_t>(at));
    if (got <= 0)
      return got < 0 ? last_error("read staged data")
                     : fail(EUCLEAN, "staged data is not complete");
    const auto bytes = std::span(buffer).first(static_cast<size_t>(got));
    OVL_TRY(os.pwrite(to, bytes, at));
    at += bytes.size();
  }
  return {};
}

// Repeated as a whole: nothing tells how much of it was done.
Status patch(Os& os, int upper, int staging, const PatchStep& step) {
  const Located place = OVL_TRY(locate(upper, step.path));
  if (OVL_TRY(ino_at(place.at)) != step.ino)
    return system_error(ESTALE, "changed by somebody else");
  const Fd file = OVL_TRY(open_for_patch(os, place.at));
  const Fd staged = OVL_TRY(os.open_file({staging, step.staged}, O_RDONLY, 0));
  OVL_TRY(os.ftruncate(file.get(), step.size));
  for (const FileRange& range : step.ranges) {
    const uint64_t begin = range.first * kBlockSize;
    const uint64_t end =
        std::min((range.first + range.count) * kBlockSize, step.size);
    OVL_TRY(range.is_hole
                ? os.punch_hole(file.get(), begin, range.count * kBlockSize)
                : copy_range(os, staged.get(), file.get(), begin, end));
  }
  return {};
}

bool is_no_room(const Status& status) {
  return !status &&
         (status.error().code() == ENOSPC || status.error().code() == EDQUOT);
}

Status patch_all(Os& os, int upper, int staging, const PublishPlan& plan) {
  bool has_all_room = false;
  for (const PatchStep& step : plan.patches) {
    Status done = patch(os, upper, staging, step);
    if (is_no_room(done) && !std::exchange(has_all_room, true)) {
      OVL_TRY(remove_taken_out(os, upper, staging, plan).in("workdir: ovl"));
      done = patch(os, upper, staging, step);
    }
    OVL_TRY(std::move(done).in("upperdir: " + step.path));
  }
  return {};
}

Status settle(Os& os, int upper, const AttributeStep& step,
              Unrepresentable* unrepresentable) {
  const Located place = OVL_TRY(locate(upper, step.path));
  if (step.ino != 0 && OVL_TRY(ino_at(place.at)) != step.ino)
    return system_error(ESTALE, "changed by somebody else");
  return apply_attributes(os, place.at, step.change,
                          {unrepresentable, [&step] { return step.path; }});
}

Status check_upper(int upper, const PublishPlan& plan) {
  if (OVL_TRY(ino_at({upper, "."})) == plan.upper_ino)
    return {};
  return system_error(ESTALE, "the plan in workdir is for another one");
}

}  // namespace

Status publish(Os& os, int upper, int staging, const PublishPlan& plan,
               Unrepresentable* unrepresentable) {
  OVL_TRY(check_upper(upper, plan).in("upperdir"));
  OVL_TRY(give_up_room(os, staging).in("workdir: ovl/staging"));
  for (const UnlockStep& step : plan.unlocks)
    OVL_TRY(unlock(os, upper, step).in("upperdir: " + step.path));
  for (const MoveStep& step : plan.moves)
    OVL_TRY(take_out(os, upper, staging, step)
                .in("upperdir: " + join_path(step.dir, step.name)));
  for (const NameStep& step : plan.names)
    OVL_TRY(carry_out(os, upper, staging, step)
                .in("upperdir: " + join_path(step.dir, step.name)));
  OVL_TRY(patch_all(os, upper, staging, plan));
  for (const AttributeStep& step : plan.attributes)
    OVL_TRY(
        settle(os, upper, step, unrepresentable).in("upperdir: " + step.path));
  return sync_published(os, upper, staging, plan).in("upperdir");
}

}  // namespace ovl
