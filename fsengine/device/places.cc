// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/places.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "fsengine/device/foreign_state.h"
#include "fsengine/device/host_facts.h"
#include "fsengine/device/mounts.h"
#include "fsengine/device/unsettled.h"

namespace ovl {
namespace {

const char* const kStateDir = "ovl";

struct Place {
  std::string what;  // `lowerdir: /path`
  bool writable;     // upper or work
  Fd fd;
  struct stat st {};
};

bool same_object(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<Place> open_place(const std::string& parameter, const std::string& path,
                         bool writable) {
  Place place{parameter + ": " + path, writable, {}, {}};
  place.fd = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!place.fd.is_open() || ::fstat(place.fd.get(), &place.st) != 0)
    return last_error(place.what);
  return place;
}

Result<uint64_t> mount_id(const Place& place) {
  struct statx st {};
  if (::statx(place.fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0)
    return last_error(place.what + ": statx");
  return st.stx_mnt_id;
}

// Walks up from `inner` within its file system.
Result<bool> lies_in(const Place& inner, const Place& outer) {
  Fd at(::openat(inner.fd.get(), ".", O_PATH | O_CLOEXEC));
  struct stat st = inner.st;
  for (;;) {
    if (same_object(st, outer.st))
      return true;
    Fd up(::openat(at.get(), "..", O_PATH | O_CLOEXEC));
    struct stat parent {};
    if (!up.is_open() || ::fstat(up.get(), &parent) != 0)
      return last_error(inner.what + ": ..");
    if (same_object(st, parent) || parent.st_dev != st.st_dev)
      return false;
    at = std::move(up);
    st = parent;
  }
}

Status refuse_overlap(const Place& a, const Place& b) {
  if (OVL_TRY(lies_in(a, b)))
    return fail(ELOOP, a.what + ": lies in " + b.what);
  if (OVL_TRY(lies_in(b, a)))
    return fail(ELOOP, b.what + ": lies in " + a.what);
  return {};
}

Status check_same_mount(const Place& upper, const Place& work) {
  if (upper.st.st_dev != work.st.st_dev)
    return fail(EXDEV, work.what + ": not on the file system of " + upper.what);
  if (OVL_TRY(mount_id(upper)) != OVL_TRY(mount_id(work)))
    return fail(EXDEV, work.what + ": not on the mount of " + upper.what);
  return {};
}

bool has_state(const Place& work) {
  struct stat st {};
  return ::fstatat(work.fd.get(), kStateDir, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

Status check_writable(const std::vector<Place>& places) {
  const Place& upper = places[places.size() - 2];
  const Place& work = places.back();
  if (!has_state(work))
    OVL_TRY(refuse_unsettled(upper.fd.get(), upper.what));
  OVL_TRY(check_same_mount(upper, work));
  return refuse_foreign_state(work.fd.get(), work.what);
}

// Who holds the lock, as the kernel tells it; 0 when it does not.
pid_t lock_holder(const struct stat& st) {
  std::ifstream locks("/proc/locks");
  const std::string wanted =
      fmt::format("{:02x}:{:02x}:{}", major(st.st_dev), minor(st.st_dev),
                  static_cast<uint64_t>(st.st_ino));
  std::string line;
  while (std::getline(locks, line)) {
    std::istringstream fields(line);
    std::string number, kind, mode, access, inode;
    pid_t pid = 0;
    fields >> number >> kind >> mode >> access >> pid >> inode;
    if (kind == "FLOCK" && inode == wanted)
      return pid;
  }
  return 0;
}

// Locks on upper and workdir/ovl are taken anew after a fork.
pid_t server_in(int work, const struct stat& st) {
  struct stat state {};
  pid_t pid = 0;
  if (::fstatat(work, kStateDir, &state, AT_SYMLINK_NOFOLLOW) == 0)
    pid = lock_holder(state);
  return pid > 0 ? pid : lock_holder(st);
}

tl::unexpected<Error> in_use(const Place& place, pid_t pid) {
  const std::string whose =
      pid > 0 ? fmt::format(", process {}", pid) : std::string();
  return fail(EBUSY, place.what + ": in use by another server" + whose);
}

pid_t holder(const Place& upper, const Place& work) {
  const pid_t pid = lock_holder(upper.st);
  return pid > 0 ? pid : server_in(work.fd.get(), work.st);
}

Status check_owner_policy(const DeviceConfig& config) {
  if (is_privileged() || config.owner == OwnerPolicy::kSquash)
    return {};
  return fail(EPERM,
              "owner: owners cannot be kept in upperdir without privilege: "
              "use owner=squash");
}

}  // namespace

Status check_layers(const DeviceConfig& config) {
  std::vector<Place> places;
  for (const std::string& lower : config.lowers)
    places.push_back(OVL_TRY(open_place("lowerdir", lower, false)));
  for (const std::string& data : config.data_only)
    places.push_back(OVL_TRY(open_place("lowerdir", data, false)));
  if (config.upper)
    places.push_back(OVL_TRY(open_place("upperdir", *config.upper, true)));
  if (config.work)
    places.push_back(OVL_TRY(open_place("workdir", *config.work, true)));

  for (const Place& place : places)
    if (!place.writable)
      OVL_TRY(refuse_unsettled(place.fd.get(), place.what));
  for (size_t i = 0; i < places.size(); ++i)
    for (size_t j = i + 1; j < places.size(); ++j)
      if (places[i].writable || places[j].writable)
        OVL_TRY(refuse_overlap(places[j], places[i]));
  if (!config.upper || !config.work)
    return {};
  OVL_TRY(refuse_mounted_overlay(*config.upper, *config.work));
  OVL_TRY(refuse_mounts_in_upper(*config.upper));
  OVL_TRY(check_writable(places));
  return check_owner_policy(config);
}

Result<Places> Places::open(const DeviceConfig& config) {
  Places places;
  Place upper = OVL_TRY(open_place("upperdir", *config.upper, true));
  Place work = OVL_TRY(open_place("workdir", *config.work, true));
  for (const Place* place : {&work, &upper})
    if (::flock(place->fd.get(), LOCK_EX | LOCK_NB) != 0)
      return in_use(*place, holder(upper, work));
  places.upper_ = std::move(upper.fd);
  places.work_ = std::move(work.fd);
  return places;
}

Result<Fd> Places::lock_work(const std::string& path) {
  Place work = OVL_TRY(open_place("workdir", path, true));
  if (::flock(work.fd.get(), LOCK_EX | LOCK_NB) != 0)
    return in_use(work, server_in(work.fd.get(), work.st));
  return std::move(work.fd);
}

Result<pid_t> Places::holder_of(int work) {
  struct stat st {};
  if (::fstat(work, &st) != 0)
    return last_error("stat");
  return server_in(work, st);
}

void Places::tell_server(int state_dir) {
  (void)::flock(state_dir, LOCK_EX | LOCK_NB);
}

// A lock belongs to the process that took it, until it is taken anew. That of
// workdir stays meanwhile.
Status Places::own_lock() const {
  (void)::flock(upper(), LOCK_SH | LOCK_NB);
  if (::flock(upper(), LOCK_EX | LOCK_NB) != 0)
    return last_error("upperdir: lock");
  return {};
}

Result<Fd> Places::state_dir() const {
  Fd fd(::openat(work(), kStateDir,
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open() && errno != ENOENT)
    return last_error("workdir: ovl: open");
  return fd;
}

Result<Fd> Places::ensure_state_dir(Os& os) const {
  auto made = os.make_dir({work(), kStateDir}, 0700);
  if (!made && made.error().code() != EEXIST)
    return tl::unexpected(made.error().in("workdir: ovl"));
  Fd fd = OVL_TRY(state_dir());
  if (!fd.is_open())
    return system_error(ENOENT, "workdir: ovl: open");
  // A default ACL of workdir must not be inherited by what is staged here.
  auto cleared = os.remove_xattr({fd.get(), "."}, "system.posix_acl_default");
  if (!cleared && cleared.error().code() != ENODATA &&
      cleared.error().code() != EOPNOTSUPP)
    return tl::unexpected(cleared.error().in("workdir: ovl"));
  return fd;
}

}  // namespace ovl
