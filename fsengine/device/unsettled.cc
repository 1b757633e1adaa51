// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/unsettled.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>

#include <fmt/format.h>

#include "fsengine/base/fd.h"

namespace ovl {
namespace {

const char* const kWork = "work";
const char* const kIncompat = "incompat";
const char* const kAttribute = "ovl.unsettled";

Status unless(Status status, std::initializer_list<int> expected) {
  if (status)
    return status;
  for (const int code : expected)
    if (status.error().code() == code)
      return {};
  return status;
}

// The kernel makes `work` without permissions for anybody, which bars a server
// without privilege even from what is its own.
Result<Fd> ensure_dir(Os& os, int parent, const char* name) {
  OVL_TRY(unless(os.make_dir({parent, name}, 0700), {EEXIST}).in(name));
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Fd fd(::openat(parent, name, kFlags));
  if (!fd.is_open() && errno == EACCES) {
    OVL_TRY(os.chmod({parent, name}, 0700).in(name));
    fd = Fd(::openat(parent, name, kFlags));
  }
  if (!fd.is_open())
    return last_error(std::string(name) + ": open");
  return fd;
}

// Of upper's root, which the guest may have made read-only: that bars its owner
// from attributes of users.
template <typename Change>
Status change_attribute(Os& os, const At& at, Change change) {
  Status done = change();
  if (done || done.error().code() != EACCES)
    return done;
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return last_error("stat");
  OVL_TRY(os.chmod(at, (st.st_mode & 07777) | S_IWUSR));
  Status changed = change();
  OVL_TRY(os.chmod(at, st.st_mode & 07777));
  return changed;
}

Status make_entry(Os& os, int work) {
  const Fd dir = OVL_TRY(ensure_dir(os, work, kWork));
  const Fd incompat = OVL_TRY(ensure_dir(os, dir.get(), kIncompat));
  OVL_TRY(unless(os.make_dir({incompat.get(), kUnsettledEntry}, 0700), {EEXIST})
              .in(kUnsettledEntry));
  OVL_TRY(os.fsync(incompat.get()));
  OVL_TRY(os.fsync(dir.get()));
  return os.fsync(work);
}

Status remove_incompat(Os& os, int work_in_work) {
  const Fd incompat(::openat(work_in_work, kIncompat,
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!incompat.is_open())
    return errno == ENOENT ? Status() : last_error("incompat: open");
  OVL_TRY(unless(os.remove_dir({incompat.get(), kUnsettledEntry}), {ENOENT})
              .in("incompat/ovl"));
  OVL_TRY(os.fsync(incompat.get()));
  return unless(os.remove_dir({work_in_work, kIncompat}), {ENOTEMPTY})
      .in(kIncompat);
}

// What is not empty was there before us.
Status remove_entry(Os& os, int work) {
  const Fd dir(
      ::openat(work, kWork, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.is_open() && (errno == ENOENT || errno == EACCES))
    return {};  // EACCES: the kernel's, made anew since
  if (!dir.is_open())
    return last_error("open");
  OVL_TRY(remove_incompat(os, dir.get()));
  OVL_TRY(unless(os.remove_dir({work, kWork}), {ENOTEMPTY}));
  return os.fsync(work);
}

}  // namespace

Status set_unsettled(Os& os, const UnsettledPlaces& places) {
  OVL_TRY(make_entry(os, places.work).in("workdir: work"));
  const At root{places.upper, "."};
  const std::string name = overlay_xattr(places.family, kAttribute);
  OVL_TRY(change_attribute(os, root, [&] {
            return os.set_xattr(root, name, "y");
          }).in("upperdir"));
  return os.fsync(places.upper).in("upperdir");
}

Status clear_unsettled(Os& os, const UnsettledPlaces& places) {
  const At root{places.upper, "."};
  const std::string name = overlay_xattr(places.family, kAttribute);
  OVL_TRY(unless(change_attribute(os, root,
                                  [&] { return os.remove_xattr(root, name); }),
                 {ENODATA})
              .in("upperdir"));
  OVL_TRY(os.fsync(places.upper).in("upperdir"));
  return remove_entry(os, places.work).in("workdir: work");
}

Status refuse_unsettled(int directory, const std::string& what) {
  for (const XattrFamily family : {XattrFamily::kTrusted, XattrFamily::kUser}) {
    const std::string name = overlay_xattr(family, kAttribute);
    if (::fgetxattr(directory, name.c_str(), nullptr, 0) >= 0)
      return fail(
          EBUSY,
          fmt::format("{}: upperdir of a device with changes that are not in "
                      "it yet: start it with its own workdir first, and let it "
                      "end; if that is lost, remove the attribute {}",
                      what, name));
  }
  return {};
}

}  // namespace ovl
