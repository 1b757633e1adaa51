// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/host_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <atomic>
#include <cerrno>

#include "fsengine/base/paths.h"
#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

// A FIFO that took the file's place must not hold us up.
constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;

// To read without marking as read is for owners: the first refusal tells.
int open_quietly(int dir, const char* name) {
  static std::atomic<bool> refused = false;
  if (!refused) {
    const int fd = ::openat(dir, name, kFlags | O_NOATIME);
    if (fd >= 0 || errno != EPERM)
      return fd;
    refused = true;
  }
  return ::openat(dir, name, kFlags);
}

bool is_file(const struct stat& st, uint64_t ino) {
  return S_ISREG(st.st_mode) && st.st_ino == ino;
}

Result<Fd> is_another() {
  return fail(ESTALE, "changed by somebody else");
}

Result<Fd> is_another_or(const Error& error) {
  return leads_nowhere(error) ? is_another() : tl::unexpected(error);
}

// Returns how many bytes there were. A file system that cannot tell gets no
// one called.
size_t read_from_cache(int fd, uint64_t offset, std::span<std::byte> out,
                       const BeforeWait& before_wait) {
  iovec all{out.data(), out.size()};
  const ssize_t n =
      ::preadv2(fd, &all, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  const bool must_wait = n < 0 ? errno == EAGAIN : n < ssize(out);
  if (must_wait && before_wait)
    before_wait();
  return n < 0 ? 0 : static_cast<size_t>(n);
}

bool has_drifted(const struct stat& st, const Stamp& stamp) {
  return !S_ISREG(st.st_mode) || st.st_ino != stamp.ino ||
         static_cast<uint64_t>(st.st_size) != stamp.size ||
         st.st_mtim.tv_sec != stamp.mtime_sec ||
         static_cast<uint32_t>(st.st_mtim.tv_nsec) != stamp.mtime_nsec;
}

bool is_touched(const struct stat& st, const Stamp& stamp) {
  return stamp.ctime_tag != 0 &&
         stamp.ctime_tag !=
             ctime_tag_of(st.st_ctim.tv_sec,
                          static_cast<uint32_t>(st.st_ctim.tv_nsec));
}

}  // namespace

uint32_t ctime_tag_of(int64_t sec, uint32_t nsec) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;  // spreads over 64 bits
  const uint64_t mixed =
      (static_cast<uint64_t>(sec) * 1'000'000'000 + nsec) * kGolden;
  return static_cast<uint32_t>(mixed >> 32) | 1;
}

// One name needs no walk that could be led astray: the directory was reached
// beneath the layer's root, and O_NOFOLLOW covers the name. A data-only layer
// has a path here.
Result<Stamp> stamp_at(int dir, const std::string& name) {
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return last_error("stat");
  return Stamp{st.st_ino, static_cast<uint64_t>(st.st_size), st.st_mtim.tv_sec,
               static_cast<uint32_t>(st.st_mtim.tv_nsec), 0};
}

Result<Fd> open_host_file(int dir, const std::string& name) {
  if (name.find('/') != std::string::npos)
    return open_beneath(dir, name, kFlags);
  Fd file(open_quietly(dir, name.c_str()));
  if (!file.is_open())
    return last_error("open");
  return file;
}

// Looked at before it is opened, too: what took the file's place may be a
// device.
Result<Fd> open_known_file(int root, const std::string& path, uint64_t ino) {
  const SplitPath split = split_path(path);
  const std::string name(split.name);
  const auto dir = open_beneath(root, split.dir, O_RDONLY | O_DIRECTORY);
  if (!dir)
    return is_another_or(dir.error());
  struct stat st {};
  if (::fstatat(dir->get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return is_another_or(last_error("stat").value());
  if (!is_file(st, ino))
    return is_another();
  auto file = open_host_file(dir->get(), name);
  if (!file)
    return is_another_or(file.error());
  if (::fstat(file->get(), &st) != 0)
    return last_error("fstat");
  return is_file(st, ino) ? std::move(file) : is_another();
}

// Looked at after the read, so that bytes of a changed file are never passed
// on.
Result<Since> read_host_file(int fd, const Stamp& stamp, uint64_t offset,
                             std::span<std::byte> out,
                             const BeforeWait& before_wait) {
  const size_t at_once = read_from_cache(fd, offset, out, before_wait);
  OVL_TRY(read_at(fd, offset + at_once, out.subspan(at_once)));
  return check_host_file(fd, stamp);
}

Result<Since> check_host_file(int fd, const Stamp& stamp) {
  struct stat st {};
  if (::fstat(fd, &st) != 0)
    return last_error("fstat");
  if (has_drifted(st, stamp))
    return system_error(ESTALE, "file changed since it was scanned");
  return is_touched(st, stamp) ? Since::kTouched : Since::kSame;
}

void expect_host_file(int fd, uint64_t offset, uint64_t length) {
  ::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length),
                  POSIX_FADV_WILLNEED);
}

}  // namespace ovl
