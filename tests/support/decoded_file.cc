// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/decoded_file.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "tests/support/manifest.h"

namespace ovl {
namespace {

Status check_ranges(const ContentChange& change) {
  uint64_t free_from = 0;
  for (const FileRange& range : change.changed) {
    if (range.count == 0 || range.first < free_from)
      return fail(EUCLEAN, fmt::format("range {}+{} is empty or out of order",
                                       range.first, range.count));
    free_from = range.first + range.count;
  }
  if (free_from > blocks_for(change.size))
    return fail(EUCLEAN, fmt::format("a range ends at {}, beyond {} bytes",
                                     free_from, change.size));
  return {};
}

}  // namespace

Result<DecodedFile> DecodedFile::read(const BlockSource& source,
                                      const std::vector<DataRun>& runs) {
  DecodedFile file;
  file.size_ = source.size();
  for (const DataRun& run : runs)
    OVL_TRY(file.load(source, run.first_block, run.blocks));
  return file;
}

Status DecodedFile::apply(const ContentChange& change, const BlockSource& now) {
  OVL_TRY(check_ranges(change));
  if (now.size() != change.size)
    return fail(EUCLEAN, fmt::format("{} bytes to read, {} in the change",
                                     now.size(), change.size));
  cut(std::min(size_, change.size));
  size_ = change.size;
  hash_.clear();
  for (const FileRange& range : change.changed) {
    drop(range.first, range.first + range.count);
    if (!range.is_hole)
      OVL_TRY(load(now, range.first, range.count));
  }
  return {};
}

// Zeros and holes from `size` on.
void DecodedFile::cut(uint64_t size) {
  drop(blocks_for(size), UINT64_MAX);
  const auto last = blocks_.find(size / kBlockSize);
  if (last != blocks_.end())
    std::fill(last->second.begin() + size % kBlockSize, last->second.end(),
              std::byte{0});
}

void DecodedFile::drop(uint64_t first, uint64_t end) {
  blocks_.erase(blocks_.lower_bound(first), blocks_.lower_bound(end));
}

Status DecodedFile::load(const BlockSource& source, uint64_t first,
                         uint64_t count) {
  for (uint64_t number = first; number < first + count; ++number) {
    Block& block = blocks_[number];
    block.fill(std::byte{0});
    const uint64_t offset = number * kBlockSize;
    if (offset >= size_)
      return fail(EUCLEAN, fmt::format("data in block {} of a file of {} bytes",
                                       number, size_));
    OVL_TRY(source.read(offset, std::span(block).first(std::min<uint64_t>(
                                    kBlockSize, size_ - offset))));
  }
  return {};
}

std::vector<DataRun> DecodedFile::data_runs() const {
  std::vector<DataRun> runs;
  for (const auto& [number, block] : blocks_) {
    if (runs.empty() || runs.back().first_block + runs.back().blocks != number)
      runs.push_back({static_cast<uint32_t>(number), 0});
    ++runs.back().blocks;
  }
  return runs;
}

const std::string& DecodedFile::hash() const {
  if (!hash_.empty())
    return hash_;
  ContentHasher hasher;
  uint64_t at = 0;
  for (const auto& [number, block] : blocks_) {
    hasher.add_zeros(number * kBlockSize - at);
    at = number * kBlockSize;
    const auto bytes =
        std::span(block).first(std::min<uint64_t>(kBlockSize, size_ - at));
    hasher.add(bytes);
    at += bytes.size();
  }
  hasher.add_zeros(size_ - at);
  hash_ = hasher.finish();
  return hash_;
}

}  // namespace ovl
