// SPDX-License-Identifier: BSD-3-Clause
#include "images/group_counts.h"

#include <algorithm>

namespace ovl {

namespace {

constexpr uint32_t kLastReservedIno = to_int(kFirstIno) - 1;

// The free data positions of `group`, as ranges that `use` is called with.
template <typename Use>
void for_each_free(const DeviceMap& map, const Layout& layout, uint32_t group,
                   Use use) {
  const uint32_t first = map.geometry().first_position(group);
  const uint32_t end = map.geometry().first_position(group + 1);
  const auto clipped = [&](uint32_t from, uint32_t to) {
    from = std::max(from, first);
    to = std::min(to, end);
    if (from < to)
      use(from - first, to - from);
  };
  const auto ranges = layout.free_ranges();
  auto range = std::ranges::partition_point(ranges, [&](const FreeRange& each) {
    return map.data_position(each.position + each.count) <= first;
  });
  for (; range != ranges.end() && map.data_position(range->position) < end;
       ++range)
    clipped(map.data_position(range->position),
            map.data_position(range->position + range->count));
  clipped(map.end_position(), end);
}

bool is_used(const Layout& layout, uint64_t ino) {
  return ino <= kLastReservedIno ||
         layout.live_slot(Ino{static_cast<uint32_t>(ino)}) != kNoSlot;
}

void set_bits(std::span<std::byte> bitmap, uint32_t first, uint32_t count,
              bool value) {
  for (uint32_t bit = first; bit < first + count; ++bit) {
    const auto mask = std::byte{1} << (bit % 8);
    if (value)
      bitmap[bit / 8] |= mask;
    else
      bitmap[bit / 8] &= ~mask;
  }
}

void count_inodes(const DeviceMap& map, const Layout& layout,
                  std::vector<GroupCount>& counts) {
  const uint32_t per_group = map.geometry().shape().inodes_per_group;
  for (GroupCount& count : counts)
    count.free_inodes = count.untouched_inodes =
        static_cast<uint16_t>(per_group);
  const uint32_t last = std::max(to_int(layout.last_ino()), kLastReservedIno);
  for (uint64_t ino = 1; ino <= last; ++ino) {
    GroupCount& count = counts[(ino - 1) / per_group];
    if (!is_used(layout, ino))
      continue;
    --count.free_inodes;
    count.untouched_inodes =
        static_cast<uint16_t>(per_group - 1 - (ino - 1) % per_group);
    const uint32_t slot = layout.live_slot(Ino{static_cast<uint32_t>(ino)});
    if (slot != kNoSlot && layout.node(slot).is_dir())
      ++count.directories;
  }
}

}  // namespace

std::vector<GroupCount> count_groups(const DeviceMap& map,
                                     const Layout& layout) {
  std::vector<GroupCount> counts(map.geometry().shape().groups);
  for (uint32_t group = 0; group < counts.size(); ++group) {
    uint32_t free = 0;
    for_each_free(map, layout, group,
                  [&free](uint32_t, uint32_t count) { free += count; });
    counts[group].free_blocks = static_cast<uint16_t>(free);
  }
  count_inodes(map, layout, counts);
  return counts;
}

void fill_block_bitmap(const DeviceMap& map, const Layout& layout,
                       uint32_t group, std::span<std::byte> out) {
  std::ranges::fill(out, std::byte{0xff});
  const uint32_t metadata = map.geometry().shape().metadata_of(group);
  for_each_free(map, layout, group, [&](uint32_t first, uint32_t count) {
    set_bits(out, metadata + first, count, false);
  });
}

void fill_inode_bitmap(const DeviceMap& map, const Layout& layout,
                       uint32_t group, std::span<std::byte> out) {
  const uint32_t per_group = map.geometry().shape().inodes_per_group;
  const uint64_t first = uint64_t{group} * per_group + 1;
  const uint64_t last = std::max(to_int(layout.last_ino()), kLastReservedIno);
  for (uint32_t index = 0; index < per_group && first + index <= last; ++index)
    if (is_used(layout, first + index))
      set_bits(out, index, 1, true);
  set_bits(out, per_group, Shape::kBlocksPerGroup - per_group, true);
}

}  // namespace ovl
