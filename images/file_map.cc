// SPDX-License-Identifier: BSD-3-Clause
#include "images/file_map.h"

#include <algorithm>

namespace ovl {

namespace {

constexpr uint32_t kDirect = FileMap::kDirect;
constexpr uint32_t kPerBlock = FileMap::kPerBlock;
// Windows: 0 is the single indirect block, then the double's, the triple's.
constexpr uint32_t kFirstDouble = 1;
constexpr uint32_t kFirstTriple = 1 + kPerBlock;

uint32_t window_of(uint32_t file_block) {
  return (std::max(file_block, kDirect) - kDirect) / kPerBlock;
}
uint32_t middle_of(uint32_t window) {
  return (std::max(window, kFirstTriple) - kFirstTriple) / kPerBlock;
}

uint32_t end_of(const RankedRun& run) {
  return run.first_block + run.blocks;
}
bool has_window(const RankedRun& run) {
  return end_of(run) > kDirect;
}
uint32_t first_window(const RankedRun& run) {
  return window_of(run.first_block);
}
uint32_t last_window(const RankedRun& run) {
  return window_of(end_of(run) - 1);
}
bool has_middle(const RankedRun& run) {
  return has_window(run) && last_window(run) >= kFirstTriple;
}

// Counts the distinct numbers in a rising sequence of ranges that may share
// their ends: the leaves, or the middles, that runs touch.
class RankCounter {
 public:
  uint32_t count() const { return count_; }

  // The rank of `first`, which the range [first, last] begins with.
  uint32_t add(uint32_t first, uint32_t last) {
    const bool shared = count_ > 0 && last_ == first;
    const uint32_t rank = shared ? count_ - 1 : count_;
    count_ = rank + (last - first) + 1;
    last_ = last;
    return rank;
  }

 private:
  uint32_t count_ = 0;
  uint32_t last_ = 0;
};

// The last run whose `member` is not above `value`.
const RankedRun& last_run_from(std::span<const RankedRun> runs,
                               uint32_t RankedRun::*member, uint32_t value) {
  return *std::prev(std::ranges::upper_bound(runs, value, {}, member));
}

// Runs that go on where the last one ended become one.
void append(std::vector<PointerRun>& out, PointerRun run) {
  if (!out.empty()) {
    PointerRun& last = out.back();
    if (last.entry + last.count == run.entry &&
        last.block + last.count == run.block) {
      last.count += run.count;
      return;
    }
  }
  out.push_back(run);
}

}  // namespace

void rank_runs(std::span<const DataRun> runs, std::vector<RankedRun>& out) {
  RankCounter leaves;
  RankCounter middles;
  uint32_t data = 0;
  for (const DataRun& run : runs) {
    RankedRun mapped{run.first_block, run.blocks, data, leaves.count(),
                     middles.count()};
    if (has_window(mapped))
      mapped.first_rank = leaves.add(first_window(mapped), last_window(mapped));
    if (has_middle(mapped))
      mapped.first_middle = middles.add(middle_of(first_window(mapped)),
                                        middle_of(last_window(mapped)));
    data += run.blocks;
    out.push_back(mapped);
  }
}

FileMap FileMap::dense(uint32_t blocks, FsType type) {
  FileMap map(type);
  map.dense_.blocks = blocks;
  map.sum_up();
  return map;
}

FileMap::FileMap(std::span<const RankedRun> runs, FsType type)
    : mapped_(runs), type_(type) {
  sum_up();
}

std::span<const RankedRun> FileMap::runs() const {
  if (!mapped_.empty())
    return mapped_;
  return {&dense_, dense_.blocks > 0 ? 1U : 0U};
}

void FileMap::sum_up() {
  if (runs().empty())
    return;
  const RankedRun& last = runs().back();
  data_ = last.data_before + last.blocks;
  if (type_ == FsType::kExt4)
    extent_blocks_ = extent_levels().blocks();
  else
    count_indirect();
}

ExtentLevels FileMap::extent_levels() const {
  return ovl::extent_levels(most_extents());
}

uint64_t FileMap::most_extents() const {
  return ovl::most_extents(runs().size(), data_);
}

void FileMap::count_indirect() {
  const RankedRun& last = runs().back();
  if (has_window(last))
    leaves_ = last.first_rank + last_window(last) - first_window(last) + 1;
  if (has_middle(last))
    middles_ = last.first_middle + middle_of(last_window(last)) -
               middle_of(first_window(last)) + 1;
  const uint32_t rank = rank_from(kFirstDouble);
  has_double_ = rank < leaves_ && window_at(rank) < kFirstTriple ? 1 : 0;
}

uint32_t FileMap::window_at(uint32_t rank) const {
  const auto& run = last_run_from(runs(), &RankedRun::first_rank, rank);
  return first_window(run) + rank - run.first_rank;
}

uint32_t FileMap::middle_at(uint32_t rank) const {
  const auto& run = last_run_from(runs(), &RankedRun::first_middle, rank);
  return middle_of(first_window(run)) + rank - run.first_middle;
}

// The rank of the first window with data from `window` on.
uint32_t FileMap::rank_from(uint32_t window) const {
  uint32_t low = 0;
  uint32_t high = leaves_;
  while (low < high) {
    const uint32_t mid = low + (high - low) / 2;
    if (window_at(mid) < window)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

DataRun FileMap::data_at(uint32_t index) const {
  const auto& run = last_run_from(runs(), &RankedRun::data_before, index);
  const uint32_t skip = index - run.data_before;
  return {run.first_block + skip, run.blocks - skip};
}

std::optional<uint32_t> FileMap::block_of(uint32_t file_block) const {
  if (runs().empty() || file_block < runs().front().first_block)
    return std::nullopt;
  const auto& run = last_run_from(runs(), &RankedRun::first_block, file_block);
  if (file_block >= end_of(run))
    return std::nullopt;
  return indirect_blocks() + run.data_before + file_block - run.first_block;
}

std::vector<PointerRun> FileMap::inode_pointers() const {
  auto out = data_pointers(0, kDirect);
  if (leaves_ > 0 && window_at(0) == 0)
    append(out, {kDirect, first_leaf(), 1});
  if (has_double_ != 0)
    append(out, {kDirect + 1, 0, 1});
  if (has_triple() != 0)
    append(out, {kDirect + 2, has_double_, 1});
  return out;
}

std::vector<PointerRun> FileMap::pointers(uint32_t index) const {
  if (index < has_double_)
    return leaf_pointers(kFirstDouble);
  if (index < first_middle())
    return middle_pointers();
  if (index < first_leaf()) {
    const uint32_t middle = middle_at(index - first_middle());
    return leaf_pointers(kFirstTriple + middle * kPerBlock);
  }
  const uint32_t window = window_at(index - first_leaf());
  return data_pointers(kDirect + window * kPerBlock, kPerBlock);
}

std::vector<PointerRun> FileMap::data_pointers(uint32_t first,
                                               uint32_t count) const {
  std::vector<PointerRun> out;
  const uint64_t end = uint64_t{first} + count;
  const auto all = runs();
  auto run = std::ranges::partition_point(
      all, [first](const RankedRun& each) { return end_of(each) <= first; });
  for (; run != all.end() && run->first_block < end; ++run) {
    const uint32_t from = std::max(first, run->first_block);
    const auto to =
        static_cast<uint32_t>(std::min<uint64_t>(end, end_of(*run)));
    append(out, {from - first,
                 indirect_blocks() + run->data_before + from - run->first_block,
                 to - from});
  }
  return out;
}

// One block of pointers to the leaves of 1024 windows.
std::vector<PointerRun> FileMap::leaf_pointers(uint32_t first_window) const {
  std::vector<PointerRun> out;
  for (uint32_t rank = rank_from(first_window); rank < leaves_; ++rank) {
    const uint32_t entry = window_at(rank) - first_window;
    if (entry >= kPerBlock)
      break;
    append(out, {entry, first_leaf() + rank, 1});
  }
  return out;
}

std::vector<PointerRun> FileMap::middle_pointers() const {
  std::vector<PointerRun> out;
  for (uint32_t rank = 0; rank < middles_; ++rank)
    append(out, {middle_at(rank), first_middle() + rank, 1});
  return out;
}

}  // namespace ovl
