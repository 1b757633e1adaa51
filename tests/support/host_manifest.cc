// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/host_manifest.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "fsengine/base/fd.h"
#include "fsengine/base/paths.h"
#include "fsengine/base/units.h"

namespace ovl {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr int kHashThreads = 2;

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

Result<std::vector<std::string>> list_names(int dir, std::string_view path) {
  const int copy = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0)
    return last_error(std::string(path) + ": open");
  const std::unique_ptr<DIR, CloseDir> stream(::fdopendir(copy));
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* found = ::readdir(stream.get()))
    if (std::strcmp(found->d_name, ".") != 0 &&
        std::strcmp(found->d_name, "..") != 0)
      names.emplace_back(found->d_name);
  if (errno != 0)
    return last_error(std::string(path) + ": readdir");
  return names;
}

Result<std::string> read_xattr(const std::string& object,
                               const std::string& name) {
  std::array<char, XATTR_SIZE_MAX> value;
  const ssize_t got =
      ::lgetxattr(object.c_str(), name.c_str(), value.data(), value.size());
  if (got < 0)
    return last_error("getxattr " + name);
  return std::string(value.data(), static_cast<size_t>(got));
}

// A name may be listed twice, of an inode and of its block: it has one value.
Result<XattrSet> read_xattrs(const std::string& object) {
  std::array<char, 65536> names;
  const ssize_t got = ::llistxattr(object.c_str(), names.data(), names.size());
  if (got < 0 && errno == ENOTSUP)
    return XattrSet();
  if (got < 0)
    return last_error("listxattr");
  XattrSet xattrs;
  const char* const end = names.data() + got;
  for (const char* at = names.data(); at < end; at += std::strlen(at) + 1)
    if (std::ranges::find(xattrs, at, &Xattr::name) == xattrs.end())
      xattrs.push_back({at, OVL_TRY(read_xattr(object, at))});
  return xattrs;
}

Result<std::string> read_target(int dir, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t got =
      ::readlinkat(dir, name.c_str(), target.data(), target.size());
  if (got < 0)
    return last_error("readlink");
  target.resize(static_cast<size_t>(got));
  return target;
}

ManifestEntry entry_of(const struct stat& st) {
  ManifestEntry entry;
  entry.mode = st.st_mode;
  entry.uid = st.st_uid;
  entry.gid = st.st_gid;
  entry.mtime_sec = st.st_mtim.tv_sec;
  entry.mtime_nsec = static_cast<uint32_t>(st.st_mtim.tv_nsec);
  entry.rdev_major = major(st.st_rdev);
  entry.rdev_minor = minor(st.st_rdev);
  entry.size = static_cast<uint64_t>(st.st_size);
  entry.link_key = {st.st_dev, st.st_ino};
  return entry;
}

Result<std::string> hash_content(int file) {
  ContentHasher hasher;
  std::vector<std::byte> buffer(kReadBytes);
  for (;;) {
    const ssize_t got = ::read(file, buffer.data(), buffer.size());
    if (got < 0)
      return last_error("read");
    if (got == 0)
      return hasher.finish();
    hasher.add(std::span(buffer).first(static_cast<size_t>(got)));
  }
}

Result<std::vector<DataRun>> find_data_runs(int file) {
  std::vector<DataRun> runs;
  for (off_t at = 0;;) {
    const off_t data = ::lseek(file, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      return runs;
    if (data < 0)
      return last_error("seek data");
    at = ::lseek(file, data, SEEK_HOLE);
    if (at < 0)
      return last_error("seek hole");
    const auto first = static_cast<uint64_t>(data) / kBlockSize;
    const auto end = blocks_for(static_cast<uint64_t>(at));
    runs.push_back(
        {static_cast<uint32_t>(first), static_cast<uint32_t>(end - first)});
  }
}

// File systems without such flags say so in several ways.
void read_flags(int object, ManifestEntry& entry) {
  int flags = 0;
  if (::ioctl(object, FS_IOC_GETFLAGS, &flags) != 0)
    return;
  entry.is_immutable = (flags & FS_IMMUTABLE_FL) != 0;
  entry.is_append_only = (flags & FS_APPEND_FL) != 0;
  entry.is_no_atime = (flags & FS_NOATIME_FL) != 0;
  entry.is_synchronous = (flags & FS_SYNC_FL) != 0;
}

Status read_content(int root, ManifestEntry& entry) {
  const Fd file = OVL_TRY(
      open_beneath(root, entry.path, O_RDONLY | O_NONBLOCK, Submounts::kEnter));
  read_flags(file.get(), entry);
  entry.data_runs = OVL_TRY(find_data_runs(file.get()).in(entry.path));
  if (::lseek(file.get(), 0, SEEK_SET) < 0)
    return last_error(entry.path + ": seek");
  entry.content = OVL_TRY(hash_content(file.get()).in(entry.path));
  return {};
}

class HostScanner {
 public:
  HostScanner(const HostScan& scan, int root) : scan_(scan), root_(root) {}

  Status walk();
  Status read_contents();
  Manifest take();

 private:
  Status add_root();
  Status scan_directory(const std::string& path);
  Status add_child(int dir, const std::string& path, const std::string& name);
  bool is_left_out(const ManifestEntry& entry) const;
  bool add_as_link(const std::string& path, const struct stat& st);
  Status read_share(std::atomic<size_t>& next);

  const HostScan& scan_;
  const int root_;
  dev_t root_dev_ = 0;
  std::vector<std::string> pending_;
  std::vector<ManifestEntry> entries_;
  // With links_once: of objects with several names the first entry, and the
  // paths of the others.
  std::map<LinkKey, size_t> first_;
  std::vector<std::pair<size_t, std::string>> links_;
};

Status HostScanner::walk() {
  OVL_TRY(add_root());
  while (!pending_.empty()) {
    const std::string path = std::move(pending_.back());
    pending_.pop_back();
    OVL_TRY(scan_directory(path));
  }
  return {};
}

Status HostScanner::add_root() {
  struct stat st {};
  if (::fstat(root_, &st) != 0)
    return last_error("stat");
  root_dev_ = st.st_dev;
  ManifestEntry entry = entry_of(st);
  entry.xattrs = OVL_TRY(read_xattrs(own_fd_path(root_) + "/."));
  read_flags(root_, entry);
  entries_.push_back(std::move(entry));
  pending_.emplace_back();
  return {};
}

Status HostScanner::scan_directory(const std::string& path) {
  const Fd dir = OVL_TRY(
      open_beneath(root_, path, O_RDONLY | O_DIRECTORY, Submounts::kEnter));
  const auto names = OVL_TRY(list_names(dir.get(), path));
  for (const std::string& name : names)
    OVL_TRY(add_child(dir.get(), path, name).in(join_path(path, name)));
  return {};
}

bool HostScanner::is_left_out(const ManifestEntry& entry) const {
  if (scan_.one_file_system && S_ISDIR(entry.mode) &&
      entry.link_key.space != root_dev_)
    return true;
  return std::find(scan_.exclude.begin(), scan_.exclude.end(), entry.path) !=
         scan_.exclude.end();
}

Status HostScanner::add_child(int dir, const std::string& path,
                              const std::string& name) {
  struct stat st {};
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT)
      return {};
    return last_error("stat");
  }
  ManifestEntry entry = entry_of(st);
  entry.path = join_path(path, name);
  if (is_left_out(entry) || add_as_link(entry.path, st))
    return {};
  entry.xattrs = OVL_TRY(read_xattrs(own_fd_path(dir, name)));
  if (S_ISLNK(st.st_mode))
    entry.target = OVL_TRY(read_target(dir, name));
  if (S_ISDIR(st.st_mode)) {
    const Fd child = OVL_TRY(
        open_beneath(dir, name, O_RDONLY | O_DIRECTORY, Submounts::kEnter));
    read_flags(child.get(), entry);
    pending_.push_back(entry.path);
  }
  entries_.push_back(std::move(entry));
  return {};
}

bool HostScanner::add_as_link(const std::string& path, const struct stat& st) {
  if (!scan_.links_once || S_ISDIR(st.st_mode) || st.st_nlink < 2)
    return false;
  const auto [first, is_new] =
      first_.try_emplace({st.st_dev, st.st_ino}, entries_.size());
  if (!is_new)
    links_.emplace_back(first->second, path);
  return !is_new;
}

Status HostScanner::read_share(std::atomic<size_t>& next) {
  for (;;) {
    const size_t index = next++;
    if (index >= entries_.size())
      return {};
    if (S_ISREG(entries_[index].mode))
      OVL_TRY(read_content(root_, entries_[index]));
  }
}

Status HostScanner::read_contents() {
  std::atomic<size_t> next = 0;
  std::array<Status, kHashThreads> results;
  {
    std::vector<std::jthread> threads;
    threads.reserve(results.size());
    for (Status& result : results)
      threads.emplace_back([&, this] { result = read_share(next); });
  }
  for (Status& result : results)
    OVL_TRY(std::move(result));
  return {};
}

Manifest HostScanner::take() {
  Manifest manifest;
  for (auto& [first, path] : links_) {
    ManifestEntry link = entries_[first];
    link.path = std::move(path);
    manifest.add(std::move(link));
  }
  for (ManifestEntry& entry : entries_)
    manifest.add(std::move(entry));
  return manifest;
}

}  // namespace

Result<Manifest> scan_host_tree(const HostScan& scan) {
  const Fd root(::open(scan.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.is_open())
    return last_error(scan.root + ": open");
  HostScanner scanner(scan, root.get());
  OVL_TRY(scanner.walk().in(scan.root));
  if (scan.content)
    OVL_TRY(scanner.read_contents().in(scan.root));
  return scanner.take();
}

}  // namespace ovl
