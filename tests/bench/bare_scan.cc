// SPDX-License-Identifier: BSD-3-Clause
//
// The yardstick for start-up: what a tree costs at least, read by as many
// threads as there are processors with one getdents a directory's block, and
// one statx and one listxattr an object, and one SEEK_HOLE a file that has
// fewer blocks than bytes. Nothing is kept.
//
//   bare_scan DIR
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

class BareScan {
 public:
  explicit BareScan(std::string root) { todo_.push_back(std::move(root)); }

  long run() {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i)
      threads.emplace_back([this] { work(); });
    for (std::thread& thread : threads)
      thread.join();
    return objects_;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return !todo_.empty() || busy_ == 0; });
      if (todo_.empty())
        return;
      const std::string path = std::move(todo_.back());
      todo_.pop_back();
      ++busy_;
      lock.unlock();
      std::vector<std::string> found = list(path);
      lock.lock();
      for (std::string& directory : found)
        todo_.push_back(std::move(directory));
      --busy_;
      wake_.notify_all();
    }
  }

  std::vector<std::string> list(const std::string& path) {
    std::vector<std::string> directories;
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr)
      return directories;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..")
        continue;
      if (look_at(::dirfd(dir), path, name))
        directories.push_back(path + "/" + name);
    }
    ::closedir(dir);
    return directories;
  }

  bool look_at(int dir, const std::string& path, const std::string& name) {
    struct statx st {};
    ::statx(dir, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);
    char names[4096];
    ::llistxattr((path + "/" + name).c_str(), names, sizeof(names));
    if (S_ISREG(st.stx_mode) && st.stx_blocks * 512 < st.stx_size)
      seek_hole(dir, name);
    ++objects_;
    return S_ISDIR(st.stx_mode);
  }

  static void seek_hole(int dir, const std::string& name) {
    const int fd = ::openat(dir, name.c_str(), O_RDONLY | O_NOFOLLOW);
    ::lseek(fd, 0, SEEK_HOLE);
    ::close(fd);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::string> todo_;
  unsigned busy_ = 0;
  std::atomic<long> objects_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bare_scan DIR\n");
    return 2;
  }
  std::printf("%ld objects\n", BareScan(argv[1]).run());
  return 0;
}
