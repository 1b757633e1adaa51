// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/os.h"

namespace ovl {

/// Forwards everything to another Os; a test overrides what it wants to fail.
class WrapOs : public Os {
 public:
  explicit WrapOs(Os& os = host_os()) : os_(os) {}

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    return os_.open_file(at, flags, mode);
  }
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    return os_.pwrite(fd, bytes, offset);
  }
  Result<FileMapping> map(int fd, uint64_t size) override {
    return os_.map(fd, size);
  }
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    return os_.store(file, offset, bytes);
  }
  Status ftruncate(int fd, uint64_t size) override {
    return os_.ftruncate(fd, size);
  }
  Status punch_hole(int fd, uint64_t offset, uint64_t length) override {
    return os_.punch_hole(fd, offset, length);
  }
  // What models a disk knows of no shared space: copies are made.
  Status share_range(int, uint64_t, int, uint64_t, uint64_t) override {
    return system_error(EOPNOTSUPP, "share a range");
  }
  Status allocate(int fd, uint64_t size) override {
    return os_.allocate(fd, size);
  }
  Status take_space(int fd, uint64_t offset, uint64_t length) override {
    return os_.take_space(fd, offset, length);
  }
  Status fdatasync(int fd) override { return os_.fdatasync(fd); }
  Status fsync(int fd) override { return os_.fsync(fd); }
  Status syncfs(int fd) override { return os_.syncfs(fd); }
  Status make_dir(const At& at, uint32_t mode) override {
    return os_.make_dir(at, mode);
  }
  Status make_node(const At& at, uint32_t mode, DeviceNo rdev) override {
    return os_.make_node(at, mode, rdev);
  }
  Status make_symlink(const At& at, const std::string& to) override {
    return os_.make_symlink(at, to);
  }
  Status link(const At& from, const At& to) override {
    return os_.link(from, to);
  }
  Status rename(const At& from, const At& to, Rename how) override {
    return os_.rename(from, to, how);
  }
  Status unlink(const At& at) override { return os_.unlink(at); }
  Status remove_dir(const At& at) override { return os_.remove_dir(at); }
  Status chown(const At& at, Owner owner) override {
    return os_.chown(at, owner);
  }
  Status chmod(const At& at, uint32_t mode) override {
    return os_.chmod(at, mode);
  }
  Status set_mtime(const At& at, Timestamp mtime) override {
    return os_.set_mtime(at, mtime);
  }
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    return os_.set_xattr(at, name, value);
  }
  Status remove_xattr(const At& at, const std::string& name) override {
    return os_.remove_xattr(at, name);
  }

 private:
  Os& os_;
};

}  // namespace ovl
