// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/kept_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/paths.h"
#include "fsengine/overlay/empty_directory.h"

namespace ovl {
namespace {

constexpr const char* kName = "kept";
constexpr const char* kPath = "workdir: ovl/kept";

std::string name_of(Ino ino) {
  return std::to_string(to_int(ino));
}

std::optional<Ino> ino_of(const std::string& name) {
  uint32_t number = 0;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || at != end || name_of(Ino{number}) != name)
    return std::nullopt;  // not one of ours
  return Ino{number};
}

}  // namespace

Result<Fd> KeptFiles::open_directory() const {
  Fd fd(::openat(state_dir_, kName,
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error(kPath);
  return fd;
}

Result<Fd> KeptFiles::make_directory() {
  auto made = os_.make_dir({state_dir_, kName}, 0700);
  if (!made && made.error().code() != EEXIST)
    return tl::unexpected(made.error().in(kPath));
  if (made)
    OVL_TRY(os_.fsync(state_dir_).in("workdir: ovl"));
  return open_directory();
}

Status KeptFiles::read() {
  const auto dir = open_directory();
  if (!dir && dir.error().code() == ENOENT)
    return {};
  if (!dir)
    return tl::unexpected(dir.error());
  for (const std::string& name : OVL_TRY(list_names(dir->get()).in(kPath)))
    if (const auto ino = ino_of(name))
      files_[*ino] = OVL_TRY(stamp_at(dir->get(), name).in(kPath));
  return {};
}

// One that an attempt left, of this file or of another that had the number, is
// of no use any more.
Status KeptFiles::add(Ino ino, int upper, const std::string& path,
                      uint64_t host_ino) {
  OVL_TRY(remove({ino}));
  const Fd kept = OVL_TRY(make_directory());
  const SplitPath split = split_path(path);
  const std::string context = "upperdir: " + path;
  const Fd dir = OVL_TRY(
      open_beneath(upper, std::string(split.dir), O_RDONLY | O_DIRECTORY)
          .in(context));
  const At at{kept.get(), name_of(ino)};
  files_[ino] = {};  // whatever comes of it
  OVL_TRY(os_.link({dir.get(), std::string(split.name)}, at).in(context));
  const Stamp stamp = OVL_TRY(stamp_at(kept.get(), at.name).in(kPath));
  files_[ino] = stamp;
  if (stamp.ino != host_ino)
    return fail(ESTALE, context + ": changed by somebody else");
  return os_.fsync(kept.get()).in(kPath);
}

// Known until they are gone for sure: a loss of power might bring one back for
// another file of that number.
Status KeptFiles::remove(const std::set<Ino>& inodes) {
  const bool is_any = std::ranges::any_of(
      inodes, [this](Ino ino) { return files_.contains(ino); });
  if (!is_any)
    return {};
  const Fd dir = OVL_TRY(make_directory());
  for (const Ino ino : inodes) {
    auto removed = os_.unlink({dir.get(), name_of(ino)});
    if (!removed && removed.error().code() != ENOENT)
      return std::move(removed).in(kPath);
  }
  OVL_TRY(os_.fsync(dir.get()).in(kPath));
  for (const Ino ino : inodes)
    files_.erase(ino);
  return {};
}

Status KeptFiles::remove_all(Os& os, int state_dir) {
  const auto dir = KeptFiles(os, state_dir).open_directory();
  if (!dir && dir.error().code() == ENOENT)
    return {};
  if (!dir)
    return tl::unexpected(dir.error());
  OVL_TRY(empty_directory(os, dir->get()).in(kPath));
  return os.remove_dir({state_dir, kName}).in(kPath);
}

Result<Fd> KeptFiles::open(Ino ino, uint64_t host_ino) const {
  return open_known_file(state_dir_, join_path(kName, name_of(ino)), host_ino)
      .in("workdir: ovl");
}

}  // namespace ovl
