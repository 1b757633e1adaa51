// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstdio>

#include "fsengine/base/guarded_copy.h"
#include "fsengine/base/os.h"
#include "fsengine/base/paths.h"

namespace ovl {
namespace {

Status check(int result, std::string_view call) {
  if (result == 0)
    return {};
  return last_error(call);
}

unsigned rename_flags(Rename how) {
  switch (how) {
    case Rename::kReplace:
      return 0;
    case Rename::kNoReplace:
      return RENAME_NOREPLACE;
    case Rename::kExchange:
      return RENAME_EXCHANGE;
  }
  return 0;
}

class HostOs : public Os {
 public:
  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    Fd fd(::openat(at.dir, at.name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW,
                   mode));
    if (!fd.is_open())
      return last_error("open");
    return fd;
  }

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t n =
          ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return last_error("pwrite");
      bytes = bytes.subspan(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }

  Result<FileMapping> map(int fd, uint64_t size) override {
    return FileMapping::create(fd, size);
  }

  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    if (!guarded_copy(file.bytes().subspan(offset, bytes.size()).data(), bytes))
      return system_error(EIO, "store");
    return {};
  }

  Status ftruncate(int fd, uint64_t size) override {
    return check(::ftruncate(fd, static_cast<off_t>(size)), "ftruncate");
  }

  Status punch_hole(int fd, uint64_t offset, uint64_t length) override {
    return check(
        ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(offset), static_cast<off_t>(length)),
        "fallocate");
  }
  Status share_range(int from, uint64_t from_offset, int to, uint64_t offset,
                     uint64_t length) override {
    file_clone_range range{};
    range.src_fd = from;
    range.src_offset = from_offset;
    range.src_length = length;
    range.dest_offset = offset;
    return check(::ioctl(to, FICLONERANGE, &range), "share a range");
  }
  Status allocate(int fd, uint64_t size) override {
    return check(::fallocate(fd, 0, 0, static_cast<off_t>(size)), "fallocate");
  }
  Status take_space(int fd, uint64_t offset, uint64_t length) override {
    return check(
        ::fallocate(fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(length)),
        "fallocate");
  }

  Status fdatasync(int fd) override {
    return check(::fdatasync(fd), "fdatasync");
  }
  Status fsync(int fd) override { return check(::fsync(fd), "fsync"); }
  Status syncfs(int fd) override { return check(::syncfs(fd), "syncfs"); }

  Status make_dir(const At& at, uint32_t mode) override {
    return check(::mkdirat(at.dir, at.name.c_str(), mode), "mkdir");
  }

  Status make_node(const At& at, uint32_t mode, DeviceNo rdev) override {
    return check(::mknodat(at.dir, at.name.c_str(), mode,
                           makedev(rdev.major_no(), rdev.minor_no())),
                 "mknod");
  }

  Status make_symlink(const At& at, const std::string& target) override {
    return check(::symlinkat(target.c_str(), at.dir, at.name.c_str()),
                 "symlink");
  }

  Status link(const At& from, const At& to) override {
    return check(
        ::linkat(from.dir, from.name.c_str(), to.dir, to.name.c_str(), 0),
        "link");
  }

  Status rename(const At& from, const At& to, Rename how) override {
    return check(::renameat2(from.dir, from.name.c_str(), to.dir,
                             to.name.c_str(), rename_flags(how)),
                 "rename");
  }

  Status unlink(const At& at) override {
    return check(::unlinkat(at.dir, at.name.c_str(), 0), "unlink");
  }

  Status remove_dir(const At& at) override {
    return check(::unlinkat(at.dir, at.name.c_str(), AT_REMOVEDIR), "rmdir");
  }

  Status chown(const At& at, Owner owner) override {
    return check(::fchownat(at.dir, at.name.c_str(), owner.uid, owner.gid,
                            AT_SYMLINK_NOFOLLOW),
                 "chown");
  }

  Status chmod(const At& at, uint32_t mode) override {
    // fchmodat cannot refuse a symlink on older kernels: go by a pinned inode.
    Fd fd(::openat(at.dir, at.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.is_open())
      return last_error("open");
    return check(::chmod(own_fd_path(fd.get()).c_str(), mode & 07777), "chmod");
  }

  Status set_mtime(const At& at, Timestamp mtime) override {
    const timespec times[2] = {{0, UTIME_OMIT},
                               {mtime.sec, static_cast<long>(mtime.nsec)}};
    return check(
        ::utimensat(at.dir, at.name.c_str(), times, AT_SYMLINK_NOFOLLOW),
        "utimensat");
  }

  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    return check(::lsetxattr(own_fd_path(at.dir, at.name).c_str(), name.c_str(),
                             value.data(), value.size(), 0),
                 "setxattr " + name);
  }

  Status remove_xattr(const At& at, const std::string& name) override {
    return check(
        ::lremovexattr(own_fd_path(at.dir, at.name).c_str(), name.c_str()),
        "removexattr " + name);
  }
};

}  // namespace

Os& host_os() {
  static HostOs os;
  return os;
}

}  // namespace ovl
