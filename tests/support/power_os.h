// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/host_tree.h"
#include "tests/support/power_loss.h"
#include "tests/support/wrap_os.h"

namespace ovl {

/// Carries operations out on directory trees that nobody else changes, and can
/// undo what a loss of power takes of them. For one thread at a time.
class PowerOs : public WrapOs {
 public:
  /// From now on, with all that is there on disk. What is removed goes to
  /// `morgue`, a directory beside them, for it may have to come back.
  void watch(const std::set<std::string>& roots, const std::string& morgue);

  /// Counting begins anew, and nothing fails any more.
  void reset();
  uint64_t count() const { return count_; }
  /// From that operation on nothing is done any more, as by a kill.
  void stop_at(uint64_t operation) { stop_at_ = operation; }
  /// That operation, if it is a sync, fails, and loses the bytes that it was
  /// to write.
  void fail_sync_at(uint64_t operation) { fail_sync_at_ = operation; }
  bool has_failed() const { return has_failed_; }
  /// Whether the last operation that was done was a sync.
  bool is_behind_sync() const;

  /// Power is lost, and comes back. REQUIRES: nobody has open files there.
  void cut(Loss loss, uint64_t seed);
  /// What is recorded, against what is there.
  std::vector<std::string> difference() const;

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override;
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override;
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override;
  Status ftruncate(int fd, uint64_t size) override;
  Status punch_hole(int fd, uint64_t offset, uint64_t length) override;
  Status allocate(int fd, uint64_t size) override;
  Status fdatasync(int fd) override;
  Status fsync(int fd) override;
  Status syncfs(int fd) override;
  Status make_dir(const At& at, uint32_t mode) override;
  Status make_node(const At& at, uint32_t mode, DeviceNo rdev) override;
  Status make_symlink(const At& at, const std::string& target) override;
  Status link(const At& from, const At& to) override;
  Status rename(const At& from, const At& to, Rename how) override;
  Status unlink(const At& at) override;
  Status remove_dir(const At& at) override;
  Status chown(const At& at, Owner owner) override;
  Status chmod(const At& at, uint32_t mode) override;
  Status set_mtime(const At& at, Timestamp mtime) override;
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override;
  Status remove_xattr(const At& at, const std::string& name) override;

 private:
  using Kind = HostOp::Kind;

  Status next();
  void add(HostOp op) { ops_.push_back(std::move(op)); }
  void add_made(const At& at);
  void add_size(Kind kind, int fd, uint64_t offset, uint64_t length);
  void add_bytes(Kind kind, int fd, std::span<const std::byte> bytes,
                 uint64_t offset);
  void add_attributes(Kind kind, const At& at, const std::string& name = {},
                      std::string_view value = {});
  Status sync(Kind kind, int fd);
  void keep_last_name(const At& at);

  std::set<std::string> roots_;
  std::string morgue_;
  HostTree before_;
  std::vector<HostOp> ops_;
  uint64_t count_ = 0;
  uint64_t stop_at_ = UINT64_MAX;
  uint64_t fail_sync_at_ = UINT64_MAX;
  bool has_failed_ = false;
};

}  // namespace ovl
