// SPDX-License-Identifier: BSD-3-Clause
#include "images/sizing.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "images/journal.h"

namespace ovl {

namespace {

constexpr uint32_t kBlocksPerGroup = Shape::kBlocksPerGroup;
constexpr uint64_t kMaxBlocks = UINT32_MAX;
constexpr uint32_t kMaxGroups =
    static_cast<uint32_t>((kMaxBlocks + kBlocksPerGroup) / kBlocksPerGroup);
constexpr uint32_t kMaxInodesPerGroup = 8 * kBlockSize;
constexpr uint64_t kBytesPerInode = 16384;
// As mke2fs: a last group with less room than this is left out.
constexpr uint32_t kLeastDataOfLastGroup = 50;

uint64_t inodes_for_free(uint64_t free_blocks) {
  return free_blocks / (kBytesPerInode / kBlockSize);
}

uint32_t inodes_per_group(uint64_t inodes, uint32_t groups) {
  constexpr uint64_t kStep = Shape::kInodesPerBlock;
  const uint64_t share = (inodes + groups - 1) / groups;
  const uint64_t most =
      std::min<uint64_t>(kMaxInodesPerGroup, UINT32_MAX / groups);
  return static_cast<uint32_t>(std::clamp((share + kStep - 1) / kStep * kStep,
                                          kStep, most / kStep * kStep));
}

uint32_t least_last_group(const Shape& shape) {
  return shape.groups == 1
             ? 1
             : shape.metadata_of(shape.groups - 1) + kLeastDataOfLastGroup;
}

// The smallest shape of so many groups with so much free, if there is one.
std::optional<Shape> shape_of(uint32_t groups, uint64_t free_blocks,
                              const Demand& demand) {
  const uint64_t inodes = demand.inodes + inodes_for_free(free_blocks);
  Shape shape{0, groups, inodes_per_group(inodes, groups)};
  const uint64_t fixed =
      shape.metadata_blocks() + journal_space(demand, groups);
  const uint64_t before = uint64_t{groups - 1} * kBlocksPerGroup;
  const uint64_t blocks =
      std::max({fixed + demand.live_blocks + free_blocks, fixed + demand.blocks,
                before + least_last_group(shape)});
  if (shape.inodes() < demand.inodes || blocks > before + kBlocksPerGroup ||
      blocks > kMaxBlocks)
    return std::nullopt;
  shape.blocks = static_cast<uint32_t>(blocks);
  return shape;
}

std::optional<Shape> smallest_shape(uint64_t free_blocks,
                                    const Demand& demand) {
  const uint64_t least = demand.live_blocks + free_blocks;
  for (uint64_t groups = 1 + least / kBlocksPerGroup; groups <= kMaxGroups;
       ++groups)
    if (const auto shape =
            shape_of(static_cast<uint32_t>(groups), free_blocks, demand))
      return shape;
  return std::nullopt;
}

// The shape of a device of so many blocks; the tree may not fit it.
Shape total_shape(uint64_t device_blocks, uint64_t inodes) {
  const auto groups = static_cast<uint32_t>(std::max<uint64_t>(
      1, (device_blocks + kBlocksPerGroup - 1) / kBlocksPerGroup));
  Shape shape{static_cast<uint32_t>(device_blocks), groups,
              inodes_per_group(inodes, groups)};
  const uint64_t before = uint64_t{groups - 1} * kBlocksPerGroup;
  if (groups > 1 && device_blocks - before < least_last_group(shape))
    shape = {static_cast<uint32_t>(before), groups - 1,
             inodes_per_group(inodes, groups - 1)};
  return shape;
}

Shape total_shape(uint64_t device_blocks, const Demand& demand) {
  const uint64_t room =
      device_blocks - std::min(device_blocks, demand.lower_blocks);
  const Shape shape =
      total_shape(device_blocks, demand.lower_inodes + inodes_for_free(room));
  if (shape.inodes() >= demand.inodes)
    return shape;
  return total_shape(device_blocks, demand.inodes);
}

// Blocks that `shape` lacks for `demand`; 0 when it fits.
uint64_t shortage(const Shape& shape, const Demand& demand) {
  if (shape.inodes() < demand.inodes)
    return kBlocksPerGroup;
  const uint64_t wanted = shape.metadata_blocks() +
                          journal_space(demand, shape.groups) + demand.blocks;
  return wanted - std::min<uint64_t>(wanted, shape.blocks);
}

// The smallest total size found that the tree fits in, in bytes; 0 for none.
uint64_t fitting_total(const Demand& demand) {
  const auto least = smallest_shape(0, demand);
  uint64_t blocks = least ? least->blocks : kMaxBlocks + 1;
  while (blocks <= kMaxBlocks) {
    const uint64_t missing = shortage(total_shape(blocks, demand), demand);
    if (missing == 0)
      return blocks * kBlockSize;
    blocks += missing;
  }
  return 0;
}

// Rounded up, so that the rounded size too is enough.
std::string human(uint64_t bytes) {
  constexpr double kUnit = 1024;
  const double mib = static_cast<double>(bytes) / kUnit / kUnit;
  const bool small = mib < kUnit;
  const double tenths = std::ceil((small ? mib : mib / kUnit) * 10);
  return fmt::format("{:.1f} {}", tenths / 10, small ? "MiB" : "GiB");
}

tl::unexpected<Error> too_large() {
  return fail(EFBIG, fmt::format("size: the file system would be larger than "
                                 "the {} bytes that ext2 can have",
                                 kMaxBlocks * kBlockSize));
}

tl::unexpected<Error> too_small(uint64_t bytes, const Demand& demand) {
  const uint64_t needed = fitting_total(demand);
  if (needed == 0)
    return too_large();
  return fail(ENOSPC, fmt::format("size: {} bytes are too few, the tree needs "
                                  "{} bytes ({})",
                                  bytes, needed, human(needed)));
}

Result<Geometry> geometry_of_total(uint64_t bytes, const Demand& demand) {
  const uint64_t blocks = bytes / kBlockSize;
  if (blocks > kMaxBlocks)
    return too_large();
  const Shape shape = total_shape(blocks, demand);
  if (shortage(shape, demand) > 0)
    return too_small(bytes, demand);
  return Geometry(blocks, shape);
}

}  // namespace

uint32_t journal_space(const Demand& demand, uint32_t groups) {
  if (!demand.journal)
    return 0;
  return journal_map(journal_blocks_for(groups), demand.type).blocks();
}

Result<Geometry> choose_geometry(const SizeRequest& request,
                                 const Demand& demand) {
  if (request.kind == SizeRequest::Kind::kTotal)
    return geometry_of_total(request.bytes, demand);
  const auto shape = smallest_shape(blocks_for(request.bytes), demand);
  if (!shape)
    return too_large();
  return Geometry(shape->blocks, *shape);
}

}  // namespace ovl
