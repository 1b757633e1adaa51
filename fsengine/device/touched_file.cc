// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/touched_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <xxhash.h>

#include "fsengine/base/little_endian.h"
#include "fsengine/base/read_at.h"
#include "fsengine/store/copy_onto_itself.h"

namespace ovl {
namespace {

const char* const kName = "touched";
const char* const kPath = "workdir: ovl/touched";
constexpr char kMagic[9] = "ovltouch";
constexpr uint32_t kVersion = 2;
constexpr size_t kHeadBytes = 24;
constexpr size_t kEntryHeadBytes = 4;
constexpr char kTree = 'T';
constexpr char kObject = 'O';
constexpr char kFile = 'I';
constexpr size_t kFileBytes = sizeof(uint64_t);

// Returns where what the entry tells belongs.
std::span<std::byte> add_entry(char kind, size_t length,
                               std::vector<std::byte>& batch) {
  const size_t at = batch.size();
  batch.resize(at + kEntryHeadBytes + length);
  const auto entry = std::span(batch).subspan(at);
  store_le<uint32_t>(
      entry, 0,
      static_cast<uint32_t>(length << 8) | static_cast<unsigned char>(kind));
  return entry.subspan(kEntryHeadBytes);
}

void add_path(char kind, const std::string& path,
              std::vector<std::byte>& batch) {
  std::ranges::copy(std::as_bytes(std::span(path)),
                    add_entry(kind, path.size(), batch).begin());
}

std::vector<std::byte> encode(const Touched& touched) {
  std::vector<std::byte> batch(kHeadBytes);
  for (const std::string& path : touched.trees)
    add_path(kTree, path, batch);
  for (const std::string& path : touched.objects)
    add_path(kObject, path, batch);
  for (const uint64_t ino : touched.files)
    store_le(add_entry(kFile, kFileBytes, batch), 0, ino);
  const size_t length = batch.size() - kHeadBytes;
  std::memcpy(batch.data(), kMagic, 8);
  store_le(batch, 8, kVersion);
  store_le(batch, 12, static_cast<uint32_t>(length));
  store_le<uint64_t>(batch, 16, XXH3_64bits(batch.data() + kHeadBytes, length));
  return batch;
}

bool take_entry(char kind, std::span<const std::byte> content,
                Touched& touched) {
  if (kind == kFile) {
    if (content.size() != kFileBytes)
      return false;
    touched.files.push_back(load_le<uint64_t>(content, 0));
    return true;
  }
  auto& paths = kind == kTree ? touched.trees : touched.objects;
  paths.emplace_back(reinterpret_cast<const char*>(content.data()),
                     content.size());
  return true;
}

// False when there is no whole batch.
bool take_entries(std::span<const std::byte> content, Touched& touched) {
  while (!content.empty()) {
    if (content.size() < kEntryHeadBytes)
      return false;
    const auto head = load_le<uint32_t>(content, 0);
    content = content.subspan(kEntryHeadBytes);
    const size_t length = head >> 8;
    if (length > content.size())
      return false;
    if (!take_entry(static_cast<char>(head & 0xff), content.first(length),
                    touched))
      return false;
    content = content.subspan(length);
  }
  return true;
}

// Returns the bytes behind the batch; nothing when this is not one.
std::optional<std::span<const std::byte>> take_batch(
    std::span<const std::byte> bytes, Touched& touched) {
  if (bytes.size() < kHeadBytes || std::memcmp(bytes.data(), kMagic, 8) != 0)
    return std::nullopt;
  const auto length = load_le<uint32_t>(bytes, 12);
  const auto hash = load_le<uint64_t>(bytes, 16);
  bytes = bytes.subspan(kHeadBytes);
  if (length > bytes.size() || XXH3_64bits(bytes.data(), length) != hash ||
      !take_entries(bytes.first(length), touched))
    return std::nullopt;
  return bytes.subspan(length);
}

// Returns where those that are whole end.
Result<uint64_t> read_batches(int state_dir, Touched& touched) {
  const Fd fd(::openat(state_dir, kName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open() && errno == ENOENT)
    return 0;
  struct stat st {};
  if (!fd.is_open() || ::fstat(fd.get(), &st) != 0)
    return last_error("open");
  std::vector<std::byte> bytes(static_cast<size_t>(st.st_size));
  OVL_TRY(read_at(fd.get(), 0, bytes));
  std::span<const std::byte> rest = bytes;
  while (!rest.empty()) {
    if (rest.size() >= kHeadBytes && load_le<uint32_t>(rest, 8) > kVersion &&
        std::memcmp(rest.data(), kMagic, 8) == 0)
      return fail(EPROTO, "of a version that is unknown here");
    const auto behind = take_batch(rest, touched);
    if (!behind)
      break;
    rest = *behind;
  }
  return bytes.size() - rest.size();
}

// A guest chooses how deep its paths are.
bool fits(const Touched& touched) {
  constexpr uint64_t kMostPath = 1 << 24;
  uint64_t bytes = touched.files.size() * (kEntryHeadBytes + kFileBytes);
  for (const auto* paths : {&touched.trees, &touched.objects})
    for (const std::string& path : *paths) {
      if (path.size() >= kMostPath)
        return false;
      bytes += kEntryHeadBytes + path.size();
    }
  return bytes <= UINT32_MAX;
}

}  // namespace

// What an earlier run noted counts as long as upper was not recorded since. The
// last of it may be in the host's memory only, behind a sync that failed.
Status TouchedFile::open() {
  if (fd_.is_open())
    return {};
  Touched touched;
  const uint64_t end = OVL_TRY(read_batches(state_dir_, touched));
  Fd fd = OVL_TRY(os_.open_file({state_dir_, kName}, O_RDWR | O_CREAT, 0600));
  OVL_TRY(os_.ftruncate(fd.get(), end));
  OVL_TRY(copy_onto_itself(os_, fd.get(), 0, end));
  OVL_TRY(os_.fsync(state_dir_));
  fd_ = std::move(fd);
  end_ = end;
  return {};
}

Status TouchedFile::append(const Touched& touched) {
  if (!fits(touched))
    return fail(E2BIG, std::string(kPath) + ": paths are too long");
  OVL_TRY(open().in(kPath));
  const std::vector<std::byte> batch = encode(touched);
  OVL_TRY(os_.pwrite(fd_.get(), batch, end_).in(kPath));
  OVL_TRY(os_.fdatasync(fd_.get()).in(kPath));
  end_ += batch.size();
  return {};
}

Status TouchedFile::remove() {
  fd_ = Fd();
  end_ = 0;
  auto removed = os_.unlink({state_dir_, kName});
  if (!removed && removed.error().code() == ENOENT)
    return {};
  return std::move(removed).in(kPath);
}

Result<Touched> TouchedFile::read(int state_dir) {
  Touched touched;
  OVL_TRY(read_batches(state_dir, touched).in(kPath));
  return touched;
}

}  // namespace ovl
