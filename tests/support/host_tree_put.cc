// SPDX-License-Identifier: BSD-3-Clause
//
// Names first: what stands where it is not wanted goes to the morgue, and from
// there to where it is. Then each object by itself, its time last.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "fsengine/base/paths.h"
#include "tests/support/host_tree.h"

namespace ovl {
namespace {

void must(int result, const char* what) {
  if (result == 0)
    return;
  std::perror(what);
  std::abort();
}

class Putter {
 public:
  Putter(const HostTree& wanted, const std::set<std::string>& roots,
         const std::string& morgue)
      : wanted_(wanted), morgue_path_(morgue) {
    auto all = roots;
    all.insert(morgue);
    now_ = HostTree::read(all, &links_);
    struct stat st {};
    must(::lstat(morgue.c_str(), &st), "lstat");
    morgue_ = st.st_ino;
  }

  void run() {
    for (const auto& [dir, object] : now_.objects())
      if (dir != morgue_)
        take_out(dir, object);
    for (const auto& [dir, object] : wanted_.objects())
      place(dir, object);
    for (const auto& [number, object] : wanted_.objects())
      set_content(number, object);
    for (const auto& [number, object] : wanted_.objects())
      set_attributes(number, object);
    for (const auto& entry : std::filesystem::directory_iterator(morgue_path_))
      std::filesystem::remove_all(entry.path());
  }

 private:
  int link(uint64_t number) const { return links_.at(number).get(); }
  std::string path(uint64_t number) const { return own_fd_path(link(number)); }
  bool has(const HostTree& tree, uint64_t dir, const std::string& name,
           uint64_t number) const {
    const auto at = tree.objects().find(dir);
    if (at == tree.objects().end())
      return false;
    const auto found = at->second.names.find(name);
    return found != at->second.names.end() && found->second == number;
  }
  bool is_dir(uint64_t number) const {
    return now_.objects().at(number).is_dir();
  }

  void take_out(uint64_t dir, const HostObject& object) {
    for (const auto& [name, number] : object.names) {
      if (has(wanted_, dir, name, number))
        continue;
      const std::string kept = std::to_string(number);
      if (is_dir(number)) {
        must(::renameat(link(dir), name.c_str(), link(morgue_), kept.c_str()),
             "renameat");
        continue;
      }
      if (::linkat(link(dir), name.c_str(), link(morgue_), kept.c_str(), 0) !=
              0 &&
          errno != EEXIST)
        must(-1, "linkat");
      must(::unlinkat(link(dir), name.c_str(), 0), "unlinkat");
    }
  }

  void place(uint64_t dir, const HostObject& object) {
    for (const auto& [name, number] : object.names) {
      if (has(now_, dir, name, number))
        continue;
      if (is_dir(number))
        must(::renameat(link(morgue_), std::to_string(number).c_str(),
                        link(dir), name.c_str()),
             "renameat");
      else
        must(::linkat(AT_FDCWD, path(number).c_str(), link(dir), name.c_str(),
                      AT_SYMLINK_FOLLOW),
             "linkat");
    }
  }

  void set_content(uint64_t number, const HostObject& object) {
    const HostObject& now = now_.objects().at(number);
    if (!object.is_file() ||
        (object.size == now.size && object.pages == now.pages))
      return;
    const Fd fd(::open(path(number).c_str(), O_WRONLY | O_CLOEXEC));
    for (const auto& [page, bytes] : now.pages)
      if (!object.pages.contains(page))
        must(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         static_cast<off_t>(page * kHostPage), kHostPage),
             "fallocate");
    for (const auto& [page, bytes] : object.pages) {
      const auto at = now.pages.find(page);
      if (at == now.pages.end() || at->second != bytes)
        must(::pwrite(fd.get(), bytes.data(), bytes.size(),
                      static_cast<off_t>(page * kHostPage)) != kHostPage,
             "pwrite");
    }
    must(::ftruncate(fd.get(), static_cast<off_t>(object.size)), "ftruncate");
  }

  void set_attributes(uint64_t number, const HostObject& object) {
    const HostObject& now = now_.objects().at(number);
    const HostAttributes& want = object.attributes;
    const HostAttributes& have = now.attributes;
    if (want.uid != have.uid || want.gid != have.gid)
      must(::fchownat(link(number), "", want.uid, want.gid, AT_EMPTY_PATH),
           "fchownat");
    if (!S_ISLNK(want.mode) && want.mode != mode_of(number))
      must(::chmod(path(number).c_str(), want.mode & 07777), "chmod");
    set_xattrs(number, object.xattrs, now.xattrs);
    set_mtime(number, want.mtime);
  }

  void set_xattrs(uint64_t number,
                  const std::map<std::string, std::string>& want,
                  const std::map<std::string, std::string>& have) {
    for (const auto& [name, value] : have)
      if (!want.contains(name))
        must(::removexattr(path(number).c_str(), name.c_str()), "removexattr");
    for (const auto& [name, value] : want) {
      const auto at = have.find(name);
      if (at == have.end() || at->second != value)
        must(::setxattr(path(number).c_str(), name.c_str(), value.data(),
                        value.size(), 0),
             "setxattr");
    }
  }

  // What was done to it since may have changed it.
  void set_mtime(uint64_t number, const Timestamp& want) {
    if (HostAttributes::of(stat_of(number)).mtime == want)
      return;
    const timespec times[2] = {{0, UTIME_OMIT},
                               {want.sec, static_cast<long>(want.nsec)}};
    must(::utimensat(AT_FDCWD, path(number).c_str(), times, 0), "utimensat");
  }
  uint32_t mode_of(uint64_t number) const { return stat_of(number).st_mode; }
  struct stat stat_of(uint64_t number) const {
    struct stat st {};
    must(::fstat(link(number), &st), "fstat");
    return st;
  }

  const HostTree& wanted_;
  const std::string morgue_path_;
  uint64_t morgue_ = 0;
  HostTree now_;
  std::map<uint64_t, Fd> links_;
};

}  // namespace

void put_host_tree(const HostTree& wanted, const std::set<std::string>& roots,
                   const std::string& morgue) {
  Putter(wanted, roots, morgue).run();
}

}  // namespace ovl
