// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/power_os.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "fsengine/base/dir_names.h"

namespace ovl {
namespace {

struct stat stat_of(int fd) {
  struct stat st {};
  ::fstat(fd, &st);
  return st;
}

std::optional<struct stat> find(const At& at) {
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return std::nullopt;
  return st;
}

Timestamp mtime_of(int fd) {
  return HostAttributes::of(stat_of(fd)).mtime;
}

bool is_empty(const At& at) {
  const Fd dir(::openat(at.dir, at.name.c_str(),
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const auto names = list_names(dir.get());
  return names && names->empty();
}

}  // namespace

void PowerOs::watch(const std::set<std::string>& roots,
                    const std::string& morgue) {
  roots_ = roots;
  morgue_ = morgue;
  before_ = HostTree::read(roots);
  ops_.clear();
  reset();
}

void PowerOs::reset() {
  count_ = 0;
  stop_at_ = UINT64_MAX;
  fail_sync_at_ = UINT64_MAX;
  has_failed_ = false;
}

bool PowerOs::is_behind_sync() const {
  return ops_.empty() || ops_.back().is_sync();
}

void PowerOs::cut(Loss loss, uint64_t seed) {
  before_ = tree_after_loss(before_, ops_, loss, seed);
  ops_.clear();
  put_host_tree(before_, roots_, morgue_);
}

std::vector<std::string> PowerOs::difference() const {
  return tree_after_loss(before_, ops_, Loss::kNothing, 0)
      .difference(HostTree::read(roots_));
}

Status PowerOs::next() {
  if (count_++ >= stop_at_)
    return fail(EIO, "stopped");
  return {};
}

void PowerOs::add_made(const At& at) {
  const struct stat made = *find(at);
  add({.kind = Kind::kMake,
       .object = made.st_ino,
       .dir = stat_of(at.dir).st_ino,
       .name = at.name,
       .after = HostAttributes::of(made),
       .dir_mtime = mtime_of(at.dir)});
}

void PowerOs::add_size(Kind kind, int fd, uint64_t offset, uint64_t length) {
  const struct stat st = stat_of(fd);
  add({.kind = kind,
       .object = st.st_ino,
       .offset = offset,
       .length = length,
       .after = HostAttributes::of(st)});
}

void PowerOs::add_bytes(Kind kind, int fd, std::span<const std::byte> bytes,
                        uint64_t offset) {
  const struct stat st = stat_of(fd);
  add({.kind = kind,
       .object = st.st_ino,
       .offset = offset,
       .bytes = {bytes.begin(), bytes.end()},
       .after = HostAttributes::of(st)});
}

void PowerOs::add_attributes(Kind kind, const At& at, const std::string& name,
                             std::string_view value) {
  const struct stat st = *find(at);
  const auto bytes = std::as_bytes(std::span(value));
  add({.kind = kind,
       .object = st.st_ino,
       .name = name,
       .bytes = {bytes.begin(), bytes.end()},
       .after = HostAttributes::of(st)});
}

Result<Fd> PowerOs::open_file(const At& at, int flags, uint32_t mode) {
  OVL_TRY(next());
  const bool was_there = find(at).has_value();
  Fd fd = OVL_TRY(WrapOs::open_file(at, flags, mode));
  if (!was_there)
    add_made(at);
  else if ((flags & O_TRUNC) != 0)
    add_size(Kind::kTruncate, fd.get(), 0, 0);
  return fd;
}

Status PowerOs::pwrite(int fd, std::span<const std::byte> bytes,
                       uint64_t offset) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::pwrite(fd, bytes, offset));
  add_bytes(Kind::kWrite, fd, bytes, offset);
  return {};
}

Status PowerOs::store(const FileMapping& file, uint64_t offset,
                      std::span<const std::byte> bytes) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::store(file, offset, bytes));
  add_bytes(Kind::kStore, file.fd(), bytes, offset);
  return {};
}

Status PowerOs::ftruncate(int fd, uint64_t size) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::ftruncate(fd, size));
  add_size(Kind::kTruncate, fd, 0, size);
  return {};
}

Status PowerOs::punch_hole(int fd, uint64_t offset, uint64_t length) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::punch_hole(fd, offset, length));
  add_size(Kind::kPunch, fd, offset, length);
  return {};
}

Status PowerOs::allocate(int fd, uint64_t size) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::allocate(fd, size));
  add_size(Kind::kTruncate, fd, 0, size);
  return {};
}

// What it was to write is in the cache, and will not be written.
Status PowerOs::sync(Kind kind, int fd) {
  const bool fails = count_ == fail_sync_at_;
  OVL_TRY(next());
  add({.kind = kind, .object = stat_of(fd).st_ino});
  if (!fails)
    return {};
  const HostOp failed = std::move(ops_.back());
  ops_.pop_back();
  const std::vector<bool> durable = find_durable(ops_);
  for (size_t i = 0; i < ops_.size(); ++i)
    if (ops_[i].is_of_bytes() && !durable[i] &&
        (kind == Kind::kSyncAll || ops_[i].object == failed.object))
      ops_[i].is_doomed = true;
  has_failed_ = true;
  return fail(EIO, "made to fail");
}

Status PowerOs::fdatasync(int fd) {
  return sync(Kind::kSyncData, fd);
}
Status PowerOs::fsync(int fd) {
  return sync(Kind::kSync, fd);
}
Status PowerOs::syncfs(int fd) {
  return sync(Kind::kSyncAll, fd);
}

Status PowerOs::make_dir(const At& at, uint32_t mode) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::make_dir(at, mode));
  add_made(at);
  return {};
}

Status PowerOs::make_node(const At& at, uint32_t mode, DeviceNo rdev) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::make_node(at, mode, rdev));
  add_made(at);
  return {};
}

Status PowerOs::make_symlink(const At& at, const std::string& target) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::make_symlink(at, target));
  add_made(at);
  return {};
}

Status PowerOs::link(const At& from, const At& to) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::link(from, to));
  add({.kind = Kind::kLink,
       .object = find(to)->st_ino,
       .dir = stat_of(to.dir).st_ino,
       .name = to.name,
       .dir_mtime = mtime_of(to.dir)});
  return {};
}

// Of what loses its last name now, the morgue has one more.
void PowerOs::keep_last_name(const At& at) {
  const auto st = find(at);
  if (st && !S_ISDIR(st->st_mode) && st->st_nlink == 1)
    (void)!::linkat(at.dir, at.name.c_str(), AT_FDCWD,
                    (morgue_ + "/" + std::to_string(st->st_ino)).c_str(), 0);
}

Status PowerOs::rename(const At& from, const At& to, Rename how) {
  OVL_TRY(next());
  const auto object = find(from);
  if (how == Rename::kReplace)
    keep_last_name(to);
  OVL_TRY(WrapOs::rename(from, to, how));
  add({.kind = how == Rename::kExchange ? Kind::kExchange : Kind::kRename,
       .object = object->st_ino,
       .dir = stat_of(from.dir).st_ino,
       .to_dir = stat_of(to.dir).st_ino,
       .name = from.name,
       .to_name = to.name,
       .dir_mtime = mtime_of(from.dir),
       .to_dir_mtime = mtime_of(to.dir)});
  return {};
}

Status PowerOs::unlink(const At& at) {
  OVL_TRY(next());
  const auto object = find(at);
  keep_last_name(at);
  OVL_TRY(WrapOs::unlink(at));
  add({.kind = Kind::kRemove,
       .object = object->st_ino,
       .dir = stat_of(at.dir).st_ino,
       .name = at.name,
       .dir_mtime = mtime_of(at.dir)});
  return {};
}

// A directory has one name only: it goes to the morgue itself.
Status PowerOs::remove_dir(const At& at) {
  OVL_TRY(next());
  const auto object = find(at);
  if (!object || !is_empty(at))
    return WrapOs::remove_dir(at);
  const std::string kept = morgue_ + "/" + std::to_string(object->st_ino);
  if (::renameat(at.dir, at.name.c_str(), AT_FDCWD, kept.c_str()) != 0)
    return last_error("rmdir");
  add({.kind = Kind::kRemoveDir,
       .object = object->st_ino,
       .dir = stat_of(at.dir).st_ino,
       .name = at.name,
       .dir_mtime = mtime_of(at.dir)});
  return {};
}

Status PowerOs::chown(const At& at, Owner owner) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::chown(at, owner));
  add_attributes(Kind::kAttributes, at);
  return {};
}

Status PowerOs::chmod(const At& at, uint32_t mode) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::chmod(at, mode));
  add_attributes(Kind::kAttributes, at);
  return {};
}

Status PowerOs::set_mtime(const At& at, Timestamp mtime) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::set_mtime(at, mtime));
  add_attributes(Kind::kAttributes, at);
  return {};
}

Status PowerOs::set_xattr(const At& at, const std::string& name,
                          std::string_view value) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::set_xattr(at, name, value));
  add_attributes(Kind::kSetXattr, at, name, value);
  return {};
}

Status PowerOs::remove_xattr(const At& at, const std::string& name) {
  OVL_TRY(next());
  OVL_TRY(WrapOs::remove_xattr(at, name));
  add_attributes(Kind::kRemoveXattr, at, name);
  return {};
}

}  // namespace ovl
