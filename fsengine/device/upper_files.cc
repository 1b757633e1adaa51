// SPDX-License-Identifier: BSD-3-Clause
//
// Readers take no part in a checkpoint: they open a file by the path that its
// object has, and look at what they read. What they find is one of
//
//   the file as it is known            its bytes are right: a checkpoint never
//                                      moves bytes within a file of upper
//   the same file, being changed       still: what a checkpoint changes in it
//                                      is read from log or store
//   another file, or none              a checkpoint is under way, or somebody
//                                      else changed upper: ESTALE
//
// A file without names that the guest has open is found in kept_files.cc's
// directory, where it is before its last name goes; one that a checkpoint takes
// elsewhere by half_published.cc, however far that has come.
//
// After ESTALE a reader waits until no checkpoint is changing upper, and begins
// again with the look-up of the block: it may be of another file since. When
// that does not help either, somebody else did it.
#include "fsengine/device/upper_files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ovl {
namespace {

// A file that is being made shorter may end anywhere.
Status read_what_is_there(int fd, uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t n =
        ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return last_error("read");
    if (n == 0)
      break;
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  std::ranges::fill(out, std::byte{0});
  return {};
}

}  // namespace

UpperFiles::Key UpperFiles::find(const ObjectId& id) const {
  const ReaderLock lock(known_mutex_);
  const auto at = keys_.find(id);
  return at == keys_.end() ? kNoNode : at->second;
}

UpperFiles::Key UpperFiles::set(const ObjectId& id, const Stamp& stamp) {
  const WriterLock lock(known_mutex_);
  const auto [at, is_new] = keys_.try_emplace(id, kNoNode);
  if (!is_new && known_.at(at->second).stamp.ino == stamp.ino) {
    Known& known = known_.at(at->second);
    known.stamp = stamp;
    known.is_changing = false;
    return at->second;
  }
  bool has_changed = false;
  if (!is_new) {
    has_changed = true;
    files_.forget(at->second);
    known_.erase(at->second);
  }
  at->second = Key{++last_key_};
  known_[at->second] = {id, stamp, false, has_changed};
  return at->second;
}

void UpperFiles::expect_change(const ObjectId& id, bool of_bytes) {
  const WriterLock lock(known_mutex_);
  const auto at = keys_.find(id);
  if (at == keys_.end())
    return;
  Known& known = known_.at(at->second);
  known.is_changing = true;
  known.has_changed |= of_bytes;
}

void UpperFiles::forget(const ObjectId& id) {
  const WriterLock lock(known_mutex_);
  const auto at = keys_.find(id);
  if (at == keys_.end())
    return;
  files_.forget(at->second);
  known_.erase(at->second);
  keys_.erase(at);
}

Result<UpperFiles::Known> UpperFiles::known(Key key) const {
  const ReaderLock lock(known_mutex_);
  const auto at = known_.find(key);
  if (at == known_.end())
    return fail(ESTALE, "upperdir: a file that is there no more");
  return at->second;
}

// Where a file is, for messages.
std::string UpperFiles::place_of(const ObjectId& id) const {
  const std::string path = path_of_(id);
  return path.empty() ? "workdir: ovl/kept/" + std::to_string(to_int(id.ino))
                      : "upperdir: " + path;
}

Result<Fd> UpperFiles::open_by_path(const Known& known) const {
  const std::string path = path_of_(known.id);
  const uint64_t ino = known.stamp.ino;
  auto file = path.empty() ? open_elsewhere_(known.id, ino)
                           : open_known_file(upper_, path, ino);
  if (!file && !path.empty() && file.error().code() == ESTALE)
    file = open_elsewhere_(known.id, ino);
  return std::move(file).in([&] { return place_of(known.id); });
}

// The process may have used up its descriptors for something else.
Result<UpperFiles::Handle> UpperFiles::open(Key key, const Known& known) {
  if (Handle file = files_.find(key))
    return file;
  auto file = open_by_path(known);
  if (!file &&
      (file.error().code() == EMFILE || file.error().code() == ENFILE)) {
    files_.clear();
    file = open_by_path(known);
  }
  if (!file)
    return tl::unexpected(file.error());
  return files_.keep(key, std::move(*file));
}

Status UpperFiles::read(Key key, uint64_t offset, std::span<std::byte> out) {
  const Known now = OVL_TRY(known(key));
  const Handle file = OVL_TRY(open(key, now));
  if (now.is_changing)
    return read_what_is_there(file->get(), offset, out).in([&] {
      return place_of(now.id);
    });
  const uint64_t left = now.stamp.size > offset ? now.stamp.size - offset : 0;
  const auto content = out.first(std::min<size_t>(out.size(), left));
  std::ranges::fill(out.subspan(content.size()), std::byte{0});
  if (content.empty())
    return {};
  const auto since =
      read_host_file(file->get(), now.stamp, offset, content, {});
  if (since)
    return {};
  if (since.error().code() == ESTALE)
    return fail(ESTALE, place_of(now.id) + ": changed by somebody else");
  return tl::unexpected(since.error().in(place_of(now.id)));
}

// A checkpoint says that it will change bytes before it does.
Status UpperFiles::read_unchanged(const ObjectId& id, uint64_t offset,
                                  std::span<std::byte> out) {
  const Key key = find(id);
  OVL_TRY(expect_unchanged(key));
  OVL_TRY(read(key, offset, out));
  return expect_unchanged(key);
}

Status UpperFiles::expect_unchanged(Key key) const {
  if (key == kNoNode || OVL_TRY(known(key)).has_changed)
    return fail(ESTALE, "upperdir: changed by a checkpoint");
  return {};
}

}  // namespace ovl
