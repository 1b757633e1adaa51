// SPDX-License-Identifier: BSD-3-Clause
//
// What can be opened is synced by itself: files, then their directories. A
// whiteout has nothing but its name, which the directory has. Of other special
// files and symlinks the attributes come after the name, and no descriptor of
// theirs can be synced: then it is the whole file system.
#include "fsengine/overlay/own_sync.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/fd.h"
#include "fsengine/base/paths.h"

namespace ovl {
namespace {

// A sync each costs about as much as one of a file system with no other load.
constexpr size_t kMostSynced = 32;
constexpr int kMostDepth = 16;
constexpr int kOpenFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

class OwnFiles {
 public:
  // False: not all can be synced by itself.
  Result<bool> add_tree(int dir, int depth = 0) {
    if (depth > kMostDepth)
      return false;
    for (const std::string& name : OVL_TRY(list_names(dir)))
      if (!OVL_TRY(add_name(dir, name, depth).in(name)))
        return false;
    return true;
  }

  bool add(Fd file) {
    struct stat st {};
    if (files_.size() >= kMostSynced || !file.is_open() ||
        ::fstat(file.get(), &st) != 0 ||
        (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
      return false;
    files_.push_back(std::move(file));
    return true;
  }

  Status sync(Os& os) const {
    for (const Fd& file : files_)
      OVL_TRY(os.fsync(file.get()));
    return {};
  }

 private:
  Result<bool> add_name(int dir, const std::string& name, int depth) {
    struct stat st {};
    if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
      return last_error("stat");
    if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
      return true;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
      return false;
    Fd file(::openat(dir, name.c_str(), kOpenFlags));
    if (!file.is_open())
      return false;
    if (S_ISDIR(st.st_mode) && !OVL_TRY(add_tree(file.get(), depth + 1)))
      return false;
    return add(std::move(file));
  }

  std::vector<Fd> files_;  // directories behind what is in them
};

// Not opened before it is known to be no device, which might notice. False: the
// path leads elsewhere by now, or not to what we can open.
bool add_beneath(int upper, const std::string& path, OwnFiles& files) {
  const auto place = open_beneath(upper, path, O_PATH);
  struct stat st {};
  if (!place || ::fstat(place->get(), &st) != 0 ||
      (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
    return false;
  return files.add(Fd(::open(own_fd_path(place->get()).c_str(),
                             O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
}

bool add_published(int upper, const PublishPlan& plan, OwnFiles& files) {
  if (!plan.moves.empty())
    return false;
  std::set<std::string> paths;
  for (const PatchStep& step : plan.patches)
    paths.insert(step.path);
  for (const AttributeStep& step : plan.attributes)
    paths.insert(step.path);
  for (const NameStep& step : plan.names)
    paths.insert(step.dir);
  for (const UnlockStep& step : plan.unlocks)
    paths.insert(step.path);
  for (const std::string& path : paths)
    if (!add_beneath(upper, path, files))
      return false;
  return true;
}

}  // namespace

Status sync_staged(Os& os, int staging) {
  OwnFiles files;
  if (!OVL_TRY(files.add_tree(staging)))
    return os.syncfs(staging);
  OVL_TRY(files.sync(os));
  return os.fsync(staging);
}

Status sync_published(Os& os, int upper, int staging, const PublishPlan& plan) {
  OwnFiles files;
  if (!add_published(upper, plan, files))
    return os.syncfs(upper);
  OVL_TRY(files.sync(os));
  return os.fsync(staging);
}

}  // namespace ovl
