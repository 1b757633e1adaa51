// SPDX-License-Identifier: BSD-3-Clause
//
// A plan that was begun is driven to its end before anything else is done, so
// it must not be left half way for want of room. Only patches take much: the
// bytes are staged, and then written to a file of upper's that may have none
// there. So these bytes are taken before the plan counts, by a file in staging,
// whose end is the first step.
//
// Somebody else may take them meanwhile. Then what the plan took out of upper
// goes at once, and not with staging at the end: all names have their new
// objects, durably, so nobody needs the old ones.
//
// Crash: the file in staging means nothing to the plan, and neither does what
// steps took out.
#include "fsengine/overlay/publish_room.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "fsengine/base/fd.h"
#include "fsengine/base/paths.h"
#include "fsengine/base/units.h"
#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/own_sync.h"

namespace ovl {
namespace {

const char* const kRoom = "room";
constexpr uint64_t kStatBlock = 512;

Status remove_any(Os& os, const At& at) {
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? Status() : last_error("stat");
  if (!S_ISDIR(st.st_mode))
    return os.unlink(at);
  if ((st.st_mode & S_IRWXU) != S_IRWXU)
    OVL_TRY(os.chmod(at, S_IRWXU));
  const Fd dir = OVL_TRY(open_beneath(at.dir, at.name, O_RDONLY | O_DIRECTORY));
  OVL_TRY(empty_directory(os, dir.get()));
  return os.remove_dir(at);
}

// Is the object that a step is of the one that is to go?
bool takes_out(const NameStep& step, uint64_t staged_ino) {
  return step.kind == NameStep::Kind::kRemove ||
         (step.kind == NameStep::Kind::kExchange && step.ino != staged_ino);
}

}  // namespace

Result<uint64_t> room_of_patch(int upper, const std::string& path,
                               const ContentChange& content) {
  const Fd file = OVL_TRY(open_beneath(upper, path, O_PATH));
  struct stat st {};
  if (::fstat(file.get(), &st) != 0)
    return last_error("stat");
  const auto size = static_cast<uint64_t>(st.st_size);
  const bool has_holes =
      static_cast<uint64_t>(st.st_blocks) * kStatBlock < size;
  const uint64_t had = has_holes ? 0 : blocks_for(size);
  uint64_t blocks = 0;
  for (const FileRange& range : content.changed) {
    const uint64_t end = range.first + range.count;
    if (!range.is_hole && end > had)
      blocks += end - std::max(range.first, had);
  }
  return blocks * kBlockSize;
}

Status take_room(Os& os, int staging, uint64_t bytes) {
  if (bytes == 0)
    return {};
  const Fd file = OVL_TRY(os.open_file(
      {staging, kRoom}, O_WRONLY | O_CREAT | O_TRUNC, S_IRUSR | S_IWUSR));
  const Status taken = os.allocate(file.get(), bytes);
  return !taken && taken.error().code() == EOPNOTSUPP ? Status() : taken;
}

Status give_up_room(Os& os, int staging) {
  return remove_any(os, {staging, kRoom});
}

// Durable first: a rename that is lost may have what is removed for its object.
Status remove_taken_out(Os& os, int upper, int staging,
                        const PublishPlan& plan) {
  OVL_TRY(sync_published(os, upper, staging, plan));
  for (const NameStep& step : plan.names) {
    struct stat st {};
    const bool is_there =
        ::fstatat(staging, step.staged.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (is_there && takes_out(step, st.st_ino))
      OVL_TRY(remove_any(os, {staging, step.staged}));
  }
  return {};
}

}  // namespace ovl
