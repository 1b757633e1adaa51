// SPDX-License-Identifier: BSD-3-Clause
//
// Three reasons: the block lies elsewhere, it was written where it is, or the
// file is longer and shows what stood behind its end.
#include "images/decode/content_change.h"

#include <algorithm>

#include "images/decode/mapping_difference.h"

namespace ovl {

namespace {

bool is_data(const std::optional<MappedTo>& to) {
  return to && to->kind == RunKind::kData;
}

class RangeList {
 public:
  explicit RangeList(uint64_t end) : end_(end) {}

  void add(uint64_t first, uint64_t count, bool is_hole) {
    if (first >= end_)
      return;
    ranges_.push_back({first, std::min(count, end_ - first), is_hole});
  }
  std::vector<FileRange> take();

 private:
  const uint64_t end_;  // blocks of the file
  std::vector<FileRange> ranges_;
};

// The reasons overlap, and agree on what a block is now.
std::vector<FileRange> RangeList::take() {
  std::ranges::sort(ranges_, {}, &FileRange::first);
  std::vector<FileRange> merged;
  for (FileRange range : ranges_) {
    if (!merged.empty()) {
      FileRange& last = merged.back();
      const uint64_t end = last.first + last.count;
      if (range.first < end) {
        const uint64_t inside = std::min(range.count, end - range.first);
        range.first += inside;
        range.count -= inside;
      }
      if (range.count == 0)
        continue;
      if (range.first == last.first + last.count &&
          range.is_hole == last.is_hole) {
        last.count += range.count;
        continue;
      }
    }
    merged.push_back(range);
  }
  return merged;
}

// File blocks of data runs of `mapping` within [first, end).
void add_data(const Mapping& mapping, uint64_t first, uint64_t end,
              RangeList& out) {
  for (const MapRun& run : mapping) {
    if (run.kind == RunKind::kMap)
      break;
    const uint64_t from = std::max<uint64_t>(run.file_block, first);
    const uint64_t to =
        std::min<uint64_t>(uint64_t{run.file_block} + run.count, end);
    if (run.kind == RunKind::kData && from < to)
      out.add(from, to - from, false);
  }
}

void add_moved(const InodeChange& change, const Mapping& mapping,
               uint64_t common, RangeList& out) {
  compare_mappings(
      change.before_mapping, mapping, [&](const MappingDifference& each) {
        if (each.first >= common)
          return;
        const uint64_t count = std::min(each.count, common - each.first);
        if (is_data(each.now))
          out.add(each.first, count, false);
        else if (is_data(each.before))
          out.add(each.first, count, true);
      });
}

// Whatever was written where it was, and still is content there.
void add_written(const InodeChange& change, const Mapping& mapping,
                 RangeList& out) {
  const auto maps = std::ranges::find(mapping, RunKind::kMap, &MapRun::kind);
  for (const MapRun& written : change.written) {
    const uint64_t first = written.file_block;
    const uint64_t end = first + written.count;
    auto run = std::ranges::upper_bound(mapping.begin(), maps, first, {},
                                        &MapRun::file_block);
    if (run != mapping.begin())
      --run;
    for (; run != maps && run->file_block < end; ++run) {
      const uint64_t from = std::max<uint64_t>(run->file_block, first);
      const uint64_t to =
          std::min<uint64_t>(uint64_t{run->file_block} + run->count, end);
      if (from < to && run->kind == RunKind::kData)
        out.add(from, to - from, false);
    }
  }
}

}  // namespace

std::optional<ContentChange> content_change(const InodeChange& change,
                                            const Mapping& mapping) {
  const uint64_t size = change.after.inode.size;
  const uint64_t before = change.before.size;
  RangeList ranges(blocks_for(size));
  const uint64_t common = std::min(blocks_for(size), blocks_for(before));
  if (change.is_remapped)
    add_moved(change, mapping, common, ranges);
  add_written(change, mapping, ranges);
  if (size > before)
    add_data(mapping, before / kBlockSize, blocks_for(size), ranges);
  ContentChange content{size, ranges.take(), change.has_moved_blocks};
  if (content.changed.empty() && size == before)
    return std::nullopt;
  return content;
}

ContentChange whole_content(const InodeChange& change, const Mapping& mapping) {
  const uint64_t size = change.after.inode.size;
  RangeList ranges(blocks_for(size));
  add_data(mapping, 0, blocks_for(size), ranges);
  return {size, ranges.take(), change.has_moved_blocks};
}

}  // namespace ovl
