// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/wrap_os.h"

namespace ovl {

/// A durable operation on files beneath one directory. Files are known by
/// number, however they are called.
struct RecordedOp {
  enum class Kind {
    kCreate,  // `name` in `dir` is `file`, empty
    kMakeDir,
    kRename,  // `name` to `to`, both in `dir`
    kRemove,
    kWrite,
    kStore,  // a write that power may tear anywhere
    kTruncate,
    kPunch,
    kSyncFile,
    kSyncDir,
  };
  Kind kind{};
  std::string dir = {};  // beneath the root, "" for it
  std::string name = {};
  std::string to = {};
  uint64_t file = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<std::byte> bytes = {};

  bool is_of_dir() const { return kind <= Kind::kRemove; }
  bool is_of_file() const {
    return kind >= Kind::kWrite && kind <= Kind::kPunch;
  }
};

/// Carries operations out and writes them down.
class RecordingOs : public WrapOs {
 public:
  explicit RecordingOs(std::string root) : root_(std::move(root)) {}

  const std::vector<RecordedOp>& ops() const { return ops_; }

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    Fd fd = OVL_TRY(WrapOs::open_file(at, flags, mode));
    if ((flags & O_CREAT) != 0) {
      numbers_[inode_of(fd.get())] = ++files_;
      ops_.push_back({.kind = Kind::kCreate,
                      .dir = path_of(at.dir),
                      .name = at.name,
                      .file = files_});
    }
    return fd;
  }
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    OVL_TRY(WrapOs::pwrite(fd, bytes, offset));
    ops_.push_back({.kind = Kind::kWrite,
                    .file = number_of(fd),
                    .offset = offset,
                    .bytes = {bytes.begin(), bytes.end()}});
    return {};
  }
  Status store(const FileMapping& file, uint64_t offset,
               std::span<const std::byte> bytes) override {
    OVL_TRY(WrapOs::store(file, offset, bytes));
    ops_.push_back({.kind = Kind::kStore,
                    .file = number_of(file.fd()),
                    .offset = offset,
                    .bytes = {bytes.begin(), bytes.end()}});
    return {};
  }
  Status ftruncate(int fd, uint64_t size) override {
    OVL_TRY(WrapOs::ftruncate(fd, size));
    ops_.push_back(
        {.kind = Kind::kTruncate, .file = number_of(fd), .length = size});
    return {};
  }
  Status punch_hole(int fd, uint64_t offset, uint64_t length) override {
    OVL_TRY(WrapOs::punch_hole(fd, offset, length));
    ops_.push_back({.kind = Kind::kPunch,
                    .file = number_of(fd),
                    .offset = offset,
                    .length = length});
    return {};
  }
  Status allocate(int fd, uint64_t size) override {
    OVL_TRY(WrapOs::allocate(fd, size));
    ops_.push_back(
        {.kind = Kind::kTruncate, .file = number_of(fd), .length = size});
    return {};
  }
  Status fdatasync(int fd) override {
    ops_.push_back({.kind = Kind::kSyncFile, .file = number_of(fd)});
    return {};
  }
  Status fsync(int fd) override {
    ops_.push_back({.kind = Kind::kSyncDir, .dir = path_of(fd)});
    return {};
  }
  Status make_dir(const At& at, uint32_t mode) override {
    OVL_TRY(WrapOs::make_dir(at, mode));
    ops_.push_back(
        {.kind = Kind::kMakeDir, .dir = path_of(at.dir), .name = at.name});
    return {};
  }
  Status rename(const At& from, const At& to, Rename how) override {
    OVL_TRY(WrapOs::rename(from, to, how));
    ops_.push_back({.kind = Kind::kRename,
                    .dir = path_of(from.dir),
                    .name = from.name,
                    .to = to.name});
    return {};
  }
  Status unlink(const At& at) override {
    OVL_TRY(WrapOs::unlink(at));
    ops_.push_back(
        {.kind = Kind::kRemove, .dir = path_of(at.dir), .name = at.name});
    return {};
  }
  Status remove_dir(const At& at) override {
    OVL_TRY(WrapOs::remove_dir(at));
    ops_.push_back(
        {.kind = Kind::kRemove, .dir = path_of(at.dir), .name = at.name});
    return {};
  }

 private:
  using Kind = RecordedOp::Kind;

  std::string path_of(int fd) const {
    const std::string path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    return path == root_ ? "" : path.substr(root_.size() + 1);
  }
  static uint64_t inode_of(int fd) {
    struct stat st {};
    ::fstat(fd, &st);
    return st.st_ino;
  }
  uint64_t number_of(int fd) { return numbers_[inode_of(fd)]; }

  const std::string root_;
  std::map<uint64_t, uint64_t> numbers_;  // by inode, which is used again
  uint64_t files_ = 0;
  std::vector<RecordedOp> ops_;
};

}  // namespace ovl
