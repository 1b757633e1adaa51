// SPDX-License-Identifier: BSD-3-Clause
//
// Works on files of a mounted file system, knows what must be in them, and
// ends with status 1 at the first error or wrong byte. It goes on until a stop
// file appears; the count of operations so far is in a progress file.
//
//   guest_load DIRECTORY SEED STOP_FILE PROGRESS_FILE
//
// Again and again it makes the kernel forget what it has cached, and reads all
// of its files; so it must be root.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>

namespace {

constexpr size_t kDirectories = 4;
constexpr size_t kMostFiles = 60;
constexpr size_t kMostBytes = 300'000;
constexpr int kOperationsBetweenChecks = 250;

[[noreturn]] void fail(const std::string& what) {
  std::perror(("guest_load: " + what).c_str());
  std::exit(1);
}

void must(bool succeeded, const std::string& what) {
  if (!succeeded)
    fail(what);
}

class OpenFile {
 public:
  OpenFile(const std::string& path, int flags)
      : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    must(fd_ >= 0, "open " + path_);
  }
  ~OpenFile() { must(::close(fd_) == 0, "close " + path_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  void write_at(const std::string& bytes, size_t offset) const {
    const ssize_t written =
        ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    must(written == static_cast<ssize_t>(bytes.size()), "write " + path_);
  }
  void resize(size_t size) const {
    must(::ftruncate(fd_, static_cast<off_t>(size)) == 0, "truncate " + path_);
  }
  void sync() const { must(::fsync(fd_) == 0, "fsync " + path_); }
  void sync_file_system() const { must(::syncfs(fd_) == 0, "syncfs " + path_); }

 private:
  std::string path_;
  int fd_;
};

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  must(file.is_open(), "open " + path);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  must(!file.bad(), "read " + path);
  return bytes;
}

class Load {
 public:
  Load(std::string root, uint64_t seed) : root_(std::move(root)), rng_(seed) {
    for (size_t number = 0; number < kDirectories; ++number)
      must(::mkdir(directory(number).c_str(), 0755) == 0, "mkdir");
  }

  void one_operation() {
    static constexpr std::array kOperations = {
        &Load::create,
        &Load::create,
        &Load::overwrite,
        &Load::overwrite,
        &Load::append_and_sync,
        &Load::append_and_sync,
        &Load::truncate,
        &Load::rename,
        &Load::link,
        &Load::unlink,
        &Load::replace,
        &Load::make_and_remove_directory};
    (this->*kOperations[below(kOperations.size())])();
    if (++operations_ % kOperationsBetweenChecks == 0)
      check_all();
  }

  void check_all() const {
    OpenFile(root_, O_RDONLY).sync_file_system();
    OpenFile("/proc/sys/vm/drop_caches", O_WRONLY).write_at("3", 0);
    for (const auto& [path, content] : files_) {
      if (read_all(path) == *content)
        continue;
      std::fprintf(stderr, "guest_load: %s has wrong bytes\n", path.c_str());
      std::exit(1);
    }
  }

  uint64_t operations() const { return operations_; }
  uint64_t syncs() const { return syncs_; }
  size_t files() const { return files_.size(); }

 private:
  using Content = std::shared_ptr<std::string>;  // shared by hard links
  using File = std::map<std::string, Content>::value_type;

  size_t below(size_t limit) { return rng_() % limit; }

  std::string directory(size_t number) const {
    return root_ + "/d" + std::to_string(number);
  }

  std::string new_path() {
    return directory(below(kDirectories)) + "/f" + std::to_string(++names_);
  }

  File& any_file() {
    if (files_.empty())
      create();
    return *std::next(files_.begin(),
                      static_cast<std::ptrdiff_t>(below(files_.size())));
  }

  std::string random_bytes(size_t most) {
    std::string bytes(1 + below(most), '\0');
    std::generate(bytes.begin(), bytes.end(),
                  [this] { return static_cast<char>(rng_()); });
    return bytes;
  }

  void maybe_sync(const OpenFile& file, size_t one_in) {
    if (below(one_in) != 0)
      return;
    file.sync();
    ++syncs_;
  }

  void write_new(const std::string& path) {
    files_[path] = std::make_shared<std::string>(
        random_bytes(below(4) == 0 ? kMostBytes / 4 : kMostBytes / 64));
    const OpenFile file(path, O_CREAT | O_EXCL | O_WRONLY);
    file.write_at(*files_[path], 0);
    maybe_sync(file, 3);
  }

  void create() {
    if (files_.size() < kMostFiles)
      write_new(new_path());
    else
      unlink();
  }

  void overwrite() {
    const auto& [path, content] = any_file();
    const size_t offset = below(content->size() + 5000);
    const std::string bytes = random_bytes(20'000);
    if (content->size() < offset + bytes.size())
      content->resize(std::min(offset + bytes.size(), kMostBytes));
    const std::string fitting = offset < content->size()
                                    ? bytes.substr(0, content->size() - offset)
                                    : std::string();
    content->replace(std::min(offset, content->size()), fitting.size(),
                     fitting);
    const OpenFile file(path, O_WRONLY);
    file.write_at(fitting, offset);
    maybe_sync(file, 4);
  }

  void append_and_sync() {
    const auto& [path, content] = any_file();
    if (content->size() >= kMostBytes)
      return;
    const std::string bytes = random_bytes(3000);
    const OpenFile file(path, O_WRONLY);
    file.write_at(bytes, content->size());
    *content += bytes;
    maybe_sync(file, 1);
  }

  void truncate() {
    const auto& [path, content] = any_file();
    content->resize(below(std::min(content->size() * 2, kMostBytes) + 1));
    OpenFile(path, O_WRONLY).resize(content->size());
  }

  void move_to(const std::string& target) {
    const File moved = any_file();
    // Of two names of one file, rename(2) keeps both.
    const auto there = files_.find(target);
    if (there != files_.end() && there->second == moved.second)
      return;
    must(::rename(moved.first.c_str(), target.c_str()) == 0, "rename");
    files_.erase(moved.first);
    files_[target] = moved.second;
  }

  void rename() { move_to(new_path()); }
  void replace() { move_to(std::string(any_file().first)); }

  void link() {
    const File linked = any_file();
    const std::string path = new_path();
    must(::link(linked.first.c_str(), path.c_str()) == 0, "link");
    files_[path] = linked.second;
  }

  void unlink() {
    const std::string path = any_file().first;
    must(::unlink(path.c_str()) == 0, "unlink " + path);
    files_.erase(path);
  }

  void make_and_remove_directory() {
    const std::string path = new_path();
    must(::mkdir(path.c_str(), 0700) == 0, "mkdir " + path);
    const OpenFile opened(path, O_RDONLY);
    maybe_sync(opened, 2);
    must(::rmdir(path.c_str()) == 0, "rmdir " + path);
  }

  std::string root_;
  std::mt19937_64 rng_;
  std::map<std::string, Content> files_;
  uint64_t names_ = 0;
  uint64_t operations_ = 0;
  uint64_t syncs_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: guest_load DIRECTORY SEED STOP PROGRESS\n", stderr);
    return 2;
  }
  Load load(argv[1], std::strtoull(argv[2], nullptr, 10));
  while (::access(argv[3], F_OK) != 0) {
    load.one_operation();
    std::ofstream(argv[4]) << load.operations() << '\n';
  }
  load.check_all();
  std::printf("%lu operations, %lu fsyncs, %zu files\n",
              static_cast<unsigned long>(load.operations()),
              static_cast<unsigned long>(load.syncs()), load.files());
}
