// SPDX-License-Identifier: BSD-3-Clause
#include "images/journal/journal_file.h"

#include <algorithm>
#include <cerrno>

namespace ovl {

namespace {

bool is_same(const MappedRun& a, const MappedRun& b) {
  return a.file_block == b.file_block && a.device == b.device &&
         a.count == b.count;
}

}  // namespace

Result<JournalFile> JournalFile::map(std::span<const MappedRun> runs,
                                     uint64_t device_blocks) {
  JournalFile file;
  for (const MappedRun& run : runs) {
    const uint64_t at = to_int(run.device);
    if (run.file_block != file.blocks())
      return fail(EUCLEAN, "the journal has a hole");
    if (run.count == 0 || at >= device_blocks || run.count > device_blocks - at)
      return fail(EUCLEAN, "the journal is not all on the device");
    file.runs_.push_back(run);
  }
  if (file.runs_.empty())
    return fail(EUCLEAN, "the journal has no blocks");
  file.on_device_ = file.runs_;
  std::ranges::sort(file.on_device_, {}, &MappedRun::device);
  return file;
}

uint64_t JournalFile::blocks() const {
  return runs_.empty() ? 0 : runs_.back().file_block + runs_.back().count;
}

BlockNo JournalFile::at(uint64_t position) const {
  const auto behind =
      std::ranges::upper_bound(runs_, position, {}, &MappedRun::file_block);
  const MappedRun& run = *std::prev(behind);
  return BlockNo{to_int(run.device) + position - run.file_block};
}

bool JournalFile::holds(BlockNo block) const {
  const auto behind =
      std::ranges::upper_bound(on_device_, block, {}, &MappedRun::device);
  if (behind == on_device_.begin())
    return false;
  const MappedRun& run = *std::prev(behind);
  return to_int(block) - to_int(run.device) < run.count;
}

Status JournalFile::read(const BlockSource& device, uint64_t position,
                         std::span<std::byte> out) const {
  return device.read(to_int(at(position)) * kBlockSize, out.first(kBlockSize));
}

bool JournalFile::operator==(const JournalFile& other) const {
  return std::ranges::equal(runs_, other.runs_, is_same);
}

}  // namespace ovl
