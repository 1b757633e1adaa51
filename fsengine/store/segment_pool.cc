// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/segment_pool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>

#include "fsengine/base/dir_names.h"

namespace ovl {
namespace {

// The page cache keeps what is written at once in one piece, and a small write
// to a large piece costs the host more.
constexpr size_t kFillBytes = 1 << 16;

// The number of a segment's file, or nothing for other names.
std::optional<uint32_t> number_of(const std::string& name) {
  uint32_t number = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end ||
      std::to_string(number) != name)
    return std::nullopt;
  return number;
}

std::string path_of(uint32_t number) {
  return "log/" + std::to_string(number);
}

// Space that was never written is a hole, too.
bool has_holes(int fd, uint64_t size) {
  return ::lseek(fd, 0, SEEK_HOLE) < static_cast<off_t>(size);
}

}  // namespace

LogSegment::LogSegment(SegmentPool& pool, uint32_t number, Fd fd)
    : pool_(pool),
      number_(number),
      fd_(std::move(fd)),
      is_filled_(!has_holes(fd_.get(), pool.size())) {
  ++pool_.live_;
}

LogSegment::~LogSegment() {
  --pool_.live_;
  pool_.give_back({number_, std::move(fd_)});
}

Result<std::vector<SegmentRef>> SegmentPool::adopt(
    std::span<const uint32_t> live) {
  std::vector<SegmentRef> segments(live.size());
  for (const std::string& name : OVL_TRY(list_names(directory_).in("log"))) {
    const auto number = number_of(name);
    if (!number)
      continue;
    Fd fd = OVL_TRY(
        os_.open_file({directory_, name}, O_RDWR, 0).in(path_of(*number)));
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0)
      return last_error(path_of(*number) + ": fstat");
    const auto at = std::ranges::find(live, *number);
    const bool whole = static_cast<uint64_t>(st.st_size) == size();
    if (at != live.end())
      segments[static_cast<size_t>(at - live.begin())] =
          std::make_shared<LogSegment>(*this, *number, std::move(fd));
    else if (!whole)  // of another size, or never finished
      OVL_TRY(os_.unlink({directory_, name}).in(path_of(*number)));
    else
      give_back({*number, std::move(fd)});
    const MutexLock lock(mutex_);
    if (at != live.end() || whole)
      numbers_.insert(*number);
  }
  return segments;
}

uint32_t SegmentPool::take_number() {
  const MutexLock lock(mutex_);
  uint32_t number = 0;
  while (numbers_.contains(number))
    ++number;
  numbers_.insert(number);
  return number;
}

Status SegmentPool::fill(int fd, uint32_t first_block, uint32_t end_block) {
  const std::vector<std::byte> zeros(kFillBytes);
  const uint64_t end = uint64_t{end_block} * kBlockSize;
  for (uint64_t at = uint64_t{first_block} * kBlockSize; at < end;) {
    const uint64_t n = std::min<uint64_t>(kFillBytes, end - at);
    OVL_TRY(os_.pwrite(fd, std::span(zeros).first(n), at));
    at += n;
  }
  return {};
}

Status SegmentPool::allocate(int fd) {
  auto status = os_.allocate(fd, size());
  if (!status && status.error().code() == EOPNOTSUPP)
    status = fill(fd, 0, blocks_);
  OVL_TRY(std::move(status));
  return os_.fdatasync(fd);
}

// Size and name are durable before anybody relies on what the file holds.
Result<SegmentPool::File> SegmentPool::make_file() {
  File file{take_number(), {}};
  const At at{directory_, std::to_string(file.number)};
  auto opened = os_.open_file(at, O_RDWR | O_CREAT | O_TRUNC, 0600);
  auto status =
      opened ? allocate(opened->get()) : tl::unexpected(opened.error());
  if (status)
    status = os_.fsync(directory_);
  if (status) {
    file.fd = std::move(*opened);
    return file;
  }
  if (opened)  // its space is needed more than ever
    (void)os_.unlink(at);
  const MutexLock lock(mutex_);
  numbers_.erase(file.number);
  return tl::unexpected(status.error().in(path_of(file.number)));
}

std::optional<SegmentPool::File> SegmentPool::take_free() {
  const MutexLock lock(mutex_);
  if (free_.empty())
    return std::nullopt;
  File file = std::move(free_.back());
  free_.pop_back();
  return file;
}

Result<SegmentRef> SegmentPool::acquire() {
  auto file = take_free();
  if (!file)
    file = OVL_TRY(make_file());
  return std::make_shared<const LogSegment>(*this, file->number,
                                            std::move(file->fd));
}

Status SegmentPool::prepare() {
  {
    const MutexLock lock(mutex_);
    if (!free_.empty())
      return {};
  }
  give_back(OVL_TRY(make_file()));
  return {};
}

void SegmentPool::give_back(File file) {
  const MutexLock lock(mutex_);
  free_.push_back(std::move(file));
}

std::optional<SegmentPool::File> SegmentPool::take_free_beyond(uint64_t most) {
  const MutexLock lock(mutex_);
  if (free_.empty() || numbers_.size() <= most)
    return std::nullopt;
  File file = std::move(free_.back());
  free_.pop_back();
  return file;
}

// A name that cannot be removed stays taken, and is looked at by the next
// start.
void SegmentPool::trim(uint64_t most) {
  while (auto file = take_free_beyond(most)) {
    if (!os_.unlink({directory_, std::to_string(file->number)}))
      return;
    const MutexLock lock(mutex_);
    numbers_.erase(file->number);
  }
}

Status SegmentPool::remove_files() {
  while (auto file = take_free()) {
    OVL_TRY(os_.unlink({directory_, std::to_string(file->number)})
                .in(path_of(file->number)));
    const MutexLock lock(mutex_);
    numbers_.erase(file->number);
  }
  return {};
}

}  // namespace ovl
