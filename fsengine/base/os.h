// SPDX-License-Identifier: BSD-3-Clause
//
// The one seam to system calls with a durable effect. Everything that changes
// workdir or upperdir goes through an Os, so that a test can count, stop or
// fail each of them. Names are single components beneath an open directory;
// a path is resolved to its directory with open_beneath first. No call
// follows a symbolic link. Errors name the call: the caller adds the path. Safe
// for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fsengine/base/fd.h"
#include "fsengine/base/file_mapping.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"

namespace ovl {

struct Timestamp {
  int64_t sec = 0;
  uint32_t nsec = 0;

  bool operator==(const Timestamp&) const = default;
};

struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

/// How rename treats a name that exists, as RENAME_* of renameat2(2).
enum class Rename { kReplace, kNoReplace, kExchange };

/// One name in an open directory, which outlives it.
struct At {
  int dir;
  std::string name;
};

class Os {
 public:
  virtual ~Os() = default;

  /// Opens or creates (`O_CREAT` in flags) a regular file; adds O_CLOEXEC,
  /// O_NOFOLLOW.
  virtual Result<Fd> open_file(const At& at, int flags, uint32_t mode) = 0;
  /// Writes all of `bytes`.
  virtual Status pwrite(int fd, std::span<const std::byte> bytes,
                        uint64_t offset) = 0;
  /// The first `size` bytes of a file as memory to store() to.
  virtual Result<FileMapping> map(int fd, uint64_t size) = 0;
  /// Writes `bytes` without asking the kernel: in the file when it returns,
  /// whatever becomes of this process, and on disk after a sync of the file.
  /// After an error, EIO whatever the cause, any of the bytes may be there; a
  /// pwrite tells the cause. A loss of power may tear them anywhere, not only
  /// between sectors. REQUIRES: they lie in the mapping.
  virtual Status store(const FileMapping& file, uint64_t offset,
                       std::span<const std::byte> bytes) = 0;
  virtual Status ftruncate(int fd, uint64_t size) = 0;
  virtual Status punch_hole(int fd, uint64_t offset, uint64_t length) = 0;
  /// Makes an empty file `size` zeros that have their space; EOPNOTSUPP where
  /// the file system cannot without writing them.
  virtual Status allocate(int fd, uint64_t size) = 0;
  /// Takes space for a range of a file, which reads as before.
  virtual Status take_space(int fd, uint64_t offset, uint64_t length) = 0;
  /// Gives a file a range of another one's bytes, whole blocks, by sharing
  /// their space; EOPNOTSUPP, EXDEV or EINVAL where that cannot be.
  virtual Status share_range(int from, uint64_t from_offset, int to,
                             uint64_t offset, uint64_t length) = 0;
  virtual Status fdatasync(int fd) = 0;
  virtual Status fsync(int fd) = 0;
  virtual Status syncfs(int fd) = 0;

  virtual Status make_dir(const At& at, uint32_t mode) = 0;
  virtual Status make_node(const At& at, uint32_t mode, DeviceNo rdev) = 0;
  virtual Status make_symlink(const At& at, const std::string& target) = 0;
  virtual Status link(const At& from, const At& to) = 0;
  virtual Status rename(const At& from, const At& to, Rename how) = 0;
  virtual Status unlink(const At& at) = 0;
  virtual Status remove_dir(const At& at) = 0;

  virtual Status chown(const At& at, Owner owner) = 0;
  /// REQUIRES: `at` is not a symlink.
  virtual Status chmod(const At& at, uint32_t mode) = 0;
  virtual Status set_mtime(const At& at, Timestamp mtime) = 0;
  virtual Status set_xattr(const At& at, const std::string& name,
                           std::string_view value) = 0;
  virtual Status remove_xattr(const At& at, const std::string& name) = 0;
};

/// The real one.
Os& host_os();

}  // namespace ovl
