// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/upper_record.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/paths.h"

namespace ovl {
namespace {

class Collector {
 public:
  explicit Collector(int upper) : upper_(upper) {}

  Result<UpperRecord> run() {
    OVL_TRY(add(upper_, "", 0));
    auto& objects = record_.objects;
    objects[0].ctime = {};
    for (uint32_t index = 0; index < objects.size(); ++index)
      if (S_ISDIR(objects[index].mode))
        OVL_TRY(add_children(index));
    return std::move(record_);
  }

 private:
  Status add_children(uint32_t index) {
    const std::string path = record_.path_of(index);
    const auto dir = open_beneath(upper_, path, O_RDONLY | O_DIRECTORY);
    if (!dir && dir.error().code() == EACCES)
      return {};
    if (!dir)
      return tl::unexpected(dir.error());
    auto names = OVL_TRY(list_names(dir->get()).in(path));
    std::ranges::sort(names);
    for (const std::string& name : names)
      OVL_TRY(add(dir->get(), name, index).in(join_path(path, name)));
    return {};
  }

  Status add(int dir, const std::string& name, uint32_t parent) {
    constexpr int kFlags =
        AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    struct statx st {};
    if (::statx(dir, name.c_str(), kFlags, STATX_BASIC_STATS, &st) != 0)
      return last_error("statx");
    if (record_.names.full())
      return system_error(EOVERFLOW, "too many names");
    const bool has_size = S_ISREG(st.stx_mode) || S_ISLNK(st.stx_mode);
    UpperObject object;
    object.ino = st.stx_ino;
    object.size = has_size ? st.stx_size : 0;
    object.mtime = {st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec};
    object.ctime = {st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec};
    object.parent = parent;
    object.name = record_.names.add(name);
    object.mode = st.stx_mode;
    object.rdev = DeviceNo::of(st.stx_rdev_major, st.stx_rdev_minor);
    record_.objects.push_back(object);
    return {};
  }

  const int upper_;
  UpperRecord record_;
};

enum class Directories { kTimesIgnored, kAsOthers };

struct How {
  Directories directories;
  ChangeTimes change_times;
};

bool is_same(const UpperObject& a, const UpperObject& b, const How& how) {
  const bool times =
      !S_ISDIR(a.mode) || how.directories == Directories::kAsOthers;
  const bool change_times = times && how.change_times == ChangeTimes::kCount;
  return a.ino == b.ino && a.size == b.size && a.mode == b.mode &&
         a.rdev == b.rdev && (!times || a.mtime == b.mtime) &&
         (!change_times || a.ctime == b.ctime);
}

// Up to the first object under another name, indices mean the same in both.
std::optional<UpperDifference> compare(const UpperRecord& kept,
                                       const UpperRecord& now, const How& how) {
  using Kind = UpperDifference::Kind;
  const auto key = [](const UpperRecord& record, uint32_t index) {
    const UpperObject& object = record.objects[index];
    return std::pair(object.parent, record.names.get(object.name));
  };
  const size_t most = std::max(kept.objects.size(), now.objects.size());
  for (uint32_t i = 0; i < most; ++i) {
    const bool has_kept = i < kept.objects.size();
    const bool has_now = i < now.objects.size();
    if (!has_kept || (has_now && key(now, i) < key(kept, i)))
      return UpperDifference{Kind::kAdded, now.path_of(i)};
    if (!has_now || key(kept, i) < key(now, i))
      return UpperDifference{Kind::kRemoved, kept.path_of(i)};
    if (!is_same(kept.objects[i], now.objects[i], how))
      return UpperDifference{Kind::kChanged, kept.path_of(i)};
  }
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> UpperRecord::find(std::string_view path) const {
  uint32_t at = 0;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::pair wanted(at, path.substr(0, slash));
    const auto found = std::ranges::lower_bound(
        objects, wanted, {}, [this](const UpperObject& object) {
          return std::pair(object.parent, names.get(object.name));
        });
    if (found == objects.end() || found->parent != at ||
        names.get(found->name) != wanted.second)
      return std::nullopt;
    at = static_cast<uint32_t>(found - objects.begin());
    path.remove_prefix(slash == path.npos ? path.size() : slash + 1);
  }
  return at;
}

std::string UpperRecord::path_of(uint32_t index) const {
  std::vector<std::string_view> innermost_first;
  for (; index != 0; index = objects[index].parent)
    innermost_first.push_back(names.get(objects[index].name));
  return ovl::path_of(innermost_first);
}

Result<UpperRecord> collect_upper(int upper) {
  return Collector(upper).run();
}

std::optional<UpperDifference> find_difference(const UpperRecord& kept,
                                               const UpperRecord& now,
                                               ChangeTimes change_times) {
  auto difference =
      compare(kept, now, {Directories::kTimesIgnored, change_times});
  if (!difference)
    difference = compare(kept, now, {Directories::kAsOthers, change_times});
  return difference;
}

}  // namespace ovl
