// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <utility>

#include "tests/support/wrap_os.h"

namespace ovl {

/// All durable operations pass one place, where a test counts, stops or delays
/// them. Mapping a file for stores is none.
class EveryOpOs : public WrapOs {
 public:
  using WrapOs::WrapOs;

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    Result<Fd> file;
    OVL_TRY(carry_out([&]() -> Status {
      file = WrapOs::open_file(at, flags, mode);
      return file ? Status() : tl::unexpected(file.error());
    }));
    return file;
  }
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    return carry_out([&] { return WrapOs::pwrite(fd, bytes, offset); });
  }
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    return carry_out([&] { return WrapOs::store(file, offset, bytes); });
  }
  Status ftruncate(int fd, uint64_t size) override {
    return carry_out([&] { return WrapOs::ftruncate(fd, size); });
  }
  Status punch_hole(int fd, uint64_t offset, uint64_t length) override {
    return carry_out([&] { return WrapOs::punch_hole(fd, offset, length); });
  }
  Status allocate(int fd, uint64_t size) override {
    return carry_out([&] { return WrapOs::allocate(fd, size); });
  }
  Status fdatasync(int fd) override {
    return carry_out([&] { return WrapOs::fdatasync(fd); });
  }
  Status fsync(int fd) override {
    return carry_out([&] { return WrapOs::fsync(fd); });
  }
  Status syncfs(int fd) override {
    return carry_out([&] { return WrapOs::syncfs(fd); });
  }
  Status make_dir(const At& at, uint32_t mode) override {
    return carry_out([&] { return WrapOs::make_dir(at, mode); });
  }
  Status make_node(const At& at, uint32_t mode, DeviceNo rdev) override {
    return carry_out([&] { return WrapOs::make_node(at, mode, rdev); });
  }
  Status make_symlink(const At& at, const std::string& target) override {
    return carry_out([&] { return WrapOs::make_symlink(at, target); });
  }
  Status link(const At& from, const At& to) override {
    return carry_out([&] { return WrapOs::link(from, to); });
  }
  Status rename(const At& from, const At& to, Rename how) override {
    return carry_out([&] { return WrapOs::rename(from, to, how); });
  }
  Status unlink(const At& at) override {
    return carry_out([&] { return WrapOs::unlink(at); });
  }
  Status remove_dir(const At& at) override {
    return carry_out([&] { return WrapOs::remove_dir(at); });
  }
  Status chown(const At& at, Owner owner) override {
    return carry_out([&] { return WrapOs::chown(at, owner); });
  }
  Status chmod(const At& at, uint32_t mode) override {
    return carry_out([&] { return WrapOs::chmod(at, mode); });
  }
  Status set_mtime(const At& at, Timestamp mtime) override {
    return carry_out([&] { return WrapOs::set_mtime(at, mtime); });
  }
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    return carry_out([&] { return WrapOs::set_xattr(at, name, value); });
  }
  Status remove_xattr(const At& at, const std::string& name) override {
    return carry_out([&] { return WrapOs::remove_xattr(at, name); });
  }

 protected:
  using Operation = std::function<Status()>;
  /// Does one, or not.
  virtual Status carry_out(const Operation& operation) = 0;
};

}  // namespace ovl
