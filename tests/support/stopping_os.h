// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cerrno>
#include <cstdint>
#include <utility>

#include "tests/support/wrap_os.h"

namespace ovl {

/// Counts durable operations, and from one of them on does nothing any more,
/// as if the process had been killed there: what was done stays, what comes
/// fails.
class StoppingOs : public WrapOs {
 public:
  void stop_at(uint64_t operation) { stop_at_ = operation; }
  uint64_t count() const { return count_; }
  void reset() {
    count_ = 0;
    stop_at_ = UINT64_MAX;
  }

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    OVL_TRY(next());
    return WrapOs::open_file(at, flags, mode);
  }
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    OVL_TRY(next());
    return WrapOs::pwrite(fd, bytes, offset);
  }
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    OVL_TRY(next());
    return WrapOs::store(file, offset, bytes);
  }
  Status ftruncate(int fd, uint64_t size) override {
    OVL_TRY(next());
    return WrapOs::ftruncate(fd, size);
  }
  Status punch_hole(int fd, uint64_t offset, uint64_t length) override {
    OVL_TRY(next());
    return WrapOs::punch_hole(fd, offset, length);
  }
  Status allocate(int fd, uint64_t size) override {
    OVL_TRY(next());
    return WrapOs::allocate(fd, size);
  }
  // Syncs are operations, but the test has no power to cut: they cost time.
  Status fdatasync(int) override { return next(); }
  Status fsync(int) override { return next(); }
  Status syncfs(int) override { return next(); }
  Status make_dir(const At& at, uint32_t mode) override {
    OVL_TRY(next());
    return WrapOs::make_dir(at, mode);
  }
  Status make_node(const At& at, uint32_t mode, DeviceNo rdev) override {
    OVL_TRY(next());
    return WrapOs::make_node(at, mode, rdev);
  }
  Status make_symlink(const At& at, const std::string& target) override {
    OVL_TRY(next());
    return WrapOs::make_symlink(at, target);
  }
  Status link(const At& from, const At& to) override {
    OVL_TRY(next());
    return WrapOs::link(from, to);
  }
  Status rename(const At& from, const At& to, Rename how) override {
    OVL_TRY(next());
    return WrapOs::rename(from, to, how);
  }
  Status unlink(const At& at) override {
    OVL_TRY(next());
    return WrapOs::unlink(at);
  }
  Status remove_dir(const At& at) override {
    OVL_TRY(next());
    return WrapOs::remove_dir(at);
  }
  Status chown(const At& at, Owner owner) override {
    OVL_TRY(next());
    return WrapOs::chown(at, owner);
  }
  Status chmod(const At& at, uint32_t mode) override {
    OVL_TRY(next());
    return WrapOs::chmod(at, mode);
  }
  Status set_mtime(const At& at, Timestamp mtime) override {
    OVL_TRY(next());
    return WrapOs::set_mtime(at, mtime);
  }
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    OVL_TRY(next());
    return WrapOs::set_xattr(at, name, value);
  }
  Status remove_xattr(const At& at, const std::string& name) override {
    OVL_TRY(next());
    return WrapOs::remove_xattr(at, name);
  }

 private:
  Status next() {
    if (++count_ > stop_at_)
      return fail(EIO, "stopped");
    return {};
  }

  uint64_t count_ = 0;
  uint64_t stop_at_ = UINT64_MAX;
};

}  // namespace ovl
