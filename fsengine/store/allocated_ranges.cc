// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/allocated_ranges.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>

#include "fsengine/base/units.h"

namespace ovl {
namespace {

constexpr uint32_t kExtents = 512;  // asked for at a time

void add_bytes(uint64_t begin, uint64_t end, std::vector<BlockRange>& ranges) {
  uint64_t first = begin / kBlockSize;
  if (!ranges.empty())
    first = std::max(first, ranges.back().end());
  const uint64_t last = blocks_for(end);
  if (!ranges.empty() && ranges.back().end() == first && first < last)
    ranges.back().count += last - first;
  else if (first < last)
    ranges.push_back({BlockNo{first}, last - first});
}

// The kernel's answer: a head, and room for extents behind it.
class ExtentMap {
 public:
  ExtentMap()
      : bytes_(std::make_unique<std::byte[]>(
            sizeof(fiemap) + kExtents * sizeof(fiemap_extent))) {}

  bool ask(int fd, uint64_t from, uint64_t end) {
    std::fill_n(bytes_.get(), sizeof(fiemap), std::byte{0});
    fiemap& map = *head();
    map.fm_start = from;
    map.fm_length = end - from;
    map.fm_extent_count = kExtents;
    return ::ioctl(fd, FS_IOC_FIEMAP, &map) == 0;
  }
  std::span<const fiemap_extent> extents() {
    return {head()->fm_extents, std::min(head()->fm_mapped_extents, kExtents)};
  }

 private:
  fiemap* head() { return reinterpret_cast<fiemap*>(bytes_.get()); }

  std::unique_ptr<std::byte[]> bytes_;
};

Result<std::vector<BlockRange>> data_ranges(int fd) {
  std::vector<BlockRange> ranges;
  for (off_t at = 0; (at = ::lseek(fd, at, SEEK_DATA)) >= 0;) {
    const off_t hole = ::lseek(fd, at, SEEK_HOLE);
    if (hole < 0)
      break;
    add_bytes(static_cast<uint64_t>(at), static_cast<uint64_t>(hole), ranges);
    at = hole;
  }
  if (errno != ENXIO)
    return last_error("lseek");
  return ranges;
}

}  // namespace

Result<std::vector<BlockRange>> allocated_ranges(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0)
    return last_error("stat");
  const auto size = static_cast<uint64_t>(st.st_size);
  ExtentMap map;
  std::vector<BlockRange> ranges;
  for (uint64_t from = 0; from < size;) {
    if (!map.ask(fd, from, size))
      return data_ranges(fd);
    const auto extents = map.extents();
    if (extents.empty())
      return ranges;
    for (const fiemap_extent& extent : extents)
      add_bytes(extent.fe_logical,
                std::min<uint64_t>(extent.fe_logical + extent.fe_length, size),
                ranges);
    const fiemap_extent& last = extents.back();
    from = last.fe_logical + last.fe_length;
    if ((last.fe_flags & FIEMAP_EXTENT_LAST) != 0 || last.fe_length == 0)
      return ranges;
  }
  return ranges;
}

}  // namespace ovl
