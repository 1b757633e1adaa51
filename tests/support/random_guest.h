// SPDX-License-Identifier: BSD-3-Clause
//
// Random edits of a guest's file system. Names, sizes, bytes and attributes
// are of few values, so that things become alike, and what they were again.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tests/support/guest_model.h"

namespace ovl {

class RandomGuest {
 public:
  RandomGuest(GuestModel& guest, std::mt19937_64& random)
      : guest_(guest), random_(random) {}

  void edit() {
    static constexpr Edit kEdits[] = {
        {6, Kind::kNone, &RandomGuest::create},
        {4, Kind::kNone, &RandomGuest::make_dir},
        {1, Kind::kNone, &RandomGuest::create_special},
        {4, Kind::kFile, &RandomGuest::change_bytes},
        {3, Kind::kAny, &RandomGuest::change_attributes},
        {1, Kind::kAny, &RandomGuest::remove},
        {2, Kind::kDir, &RandomGuest::move},
        {2, Kind::kAny, &RandomGuest::move},
        {2, Kind::kFile, &RandomGuest::link},
        {1, Kind::kFile, &RandomGuest::replace_by_copy},
        {1, Kind::kDir, &RandomGuest::rebuild},
        {1, Kind::kAny, &RandomGuest::exchange},
    };
    uint64_t total = 0;
    for (const Edit& one : kEdits)
      total += one.weight;
    uint64_t at = below(total);
    const Edit* chosen = kEdits;
    for (; at >= chosen->weight; ++chosen)
      at -= chosen->weight;
    carry_out(*chosen);
  }

 private:
  enum class Kind { kNone, kAny, kFile, kDir };
  struct Edit {
    uint64_t weight;
    Kind kind;  // of the path that it takes
    void (RandomGuest::*carry_out)(const std::string& path);
  };
  static constexpr size_t kMaxDepth = 4;

  uint64_t below(uint64_t count) { return random_() % count; }
  template <typename T>
  const T& one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  std::string new_name() {
    return std::string(1, one_of<char>({'a', 'b', 'c', 'd', 'e', 'f'}));
  }

  bool is(const std::string& path, Kind kind) {
    const uint32_t mode = guest_[path].node.mode;
    return kind == Kind::kAny || (kind == Kind::kFile && S_ISREG(mode)) ||
           (kind == Kind::kDir && S_ISDIR(mode));
  }

  void carry_out(const Edit& edit) {
    auto paths = guest_.paths();
    std::erase_if(paths, [&](const auto& p) { return !is(p, edit.kind); });
    if (edit.kind == Kind::kNone)
      (this->*edit.carry_out)("");
    else if (!paths.empty())
      (this->*edit.carry_out)(one_of(paths));
  }

  // A path to make something at, not at or beneath `without`: mostly where
  // nothing is, now and then what was there is removed. "" when it cannot be.
  std::string new_path(const std::string& without = "/") {
    std::vector<std::string> dirs{""};
    const auto all = guest_.paths();
    for (const std::string& path : all)
      if (is(path, Kind::kDir) && path.size() < 2 * kMaxDepth &&
          !(path + "/").starts_with(without + "/"))
        dirs.push_back(path);
    const auto exists = [&all](const std::string& path) {
      return std::ranges::find(all, path) != all.end();
    };
    const uint64_t patience = below(8);
    std::string path = join_path(one_of(dirs), new_name());
    for (uint64_t i = 0; i < patience && exists(path); ++i)
      path = join_path(one_of(dirs), new_name());
    if (!exists(path))
      return path;
    if ((without + "/").starts_with(path + "/"))
      return "";
    guest_.remove(path);
    return path;
  }

  void make_dir(const std::string&) { guest_.mkdir(new_path()); }

  void create(const std::string&) {
    const std::string path = new_path();
    guest_.create(path);
    for (uint64_t i = below(3); i > 0; --i)
      guest_.write(path, fill(), block());
    if (below(3) == 0)
      guest_.truncate(path, size());
  }
  void create_special(const std::string&) {
    if (below(2) == 0)
      guest_.symlink(new_path(), new_name());
    else
      guest_.create(new_path(), S_IFIFO | 0644);
  }

  char fill() { return one_of<char>({'x', 'y', '\0'}); }
  uint32_t block() { return static_cast<uint32_t>(below(3)); }
  uint64_t size() { return one_of<uint64_t>({0, 1, 4096, 5000, 9000}); }

  void change_bytes(const std::string& path) {
    if (below(4) == 0)
      guest_.truncate(path, size());
    else if (below(4) == 0)
      guest_.punch(path, block());
    else
      overwrite(path);
  }

  // The size may stay, or grow.
  void overwrite(const std::string& path) {
    const uint64_t old = guest_[path].node.size;
    guest_.write(path, fill(), block());
    if (below(2) == 0 && old > 0)
      guest_.truncate(path, old);
  }

  void change_attributes(const std::string& path) {
    const bool plain = is(path, Kind::kFile) || is(path, Kind::kDir);
    switch (below(plain ? 4 : 2)) {
      case 0:
        return guest_.touch(path, one_of<int64_t>({1'700'000'000, 7, 9}));
      case 1:
        guest_[path].node.uid = one_of<uint32_t>({0, 3});
        return;
      case 2:
        return guest_.chmod(path, one_of<uint32_t>({0755, 0700}));
      default:
        return guest_.set_xattrs(
            path, below(2) == 0 ? XattrSet{} : XattrSet{{"user.a", "1"}});
    }
  }

  void remove(const std::string& path) { guest_.remove(path); }

  void move(const std::string& path) {
    if (const std::string to = new_path(path); !to.empty())
      guest_.rename(path, to);
  }

  void link(const std::string& path) {
    if (const std::string to = new_path(path); !to.empty())
      guest_.link(path, to);
  }

  // As an editor saves a file.
  void replace_by_copy(const std::string& path) {
    guest_.copy(path, path + "~");
    guest_.rename(path + "~", path);
  }

  void exchange(const std::string& path) {
    const std::string other = one_of(guest_.paths());
    if ((path + "/").starts_with(other + "/") ||
        (other + "/").starts_with(path + "/"))
      return;
    guest_.rename(path, path + "~");
    guest_.rename(other, path);
    guest_.rename(path + "~", other);
  }

  void rebuild(const std::string& path) {
    guest_.remove(path);
    guest_.mkdir(path);
  }

  GuestModel& guest_;
  std::mt19937_64& random_;
};

}  // namespace ovl
