// SPDX-License-Identifier: BSD-3-Clause
//
// Both forms are trees of at most six levels. A block is visited, which claims
// it, before it is read, so a tree that leads into itself ends at once.
#include "images/decode/mapping.h"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "fsengine/base/little_endian.h"

namespace ovl {

namespace {

using Block = std::array<std::byte, kBlockSize>;

constexpr uint16_t kExtentMagic = 0xf30a;
constexpr uint32_t kExtentBytes = 12;  // header, index and extent alike
constexpr uint32_t kMaxDepth = 5;
constexpr uint32_t kMaxInitialized = 32768;
constexpr uint64_t kMaxFileBlocks = UINT32_MAX;  // the last number is none's
constexpr uint32_t kPointers = kBlockSize / sizeof(uint32_t);

void append(Mapping& mapping, const MapRun& run) {
  if (!mapping.empty()) {
    MapRun& last = mapping.back();
    if (last.kind == run.kind && last.device + last.count == run.device &&
        (run.kind == RunKind::kMap ||
         last.file_block + last.count == run.file_block)) {
      last.count += run.count;
      return;
    }
  }
  mapping.push_back(run);
}

// The part of a run that lies in blocks [first, end) of its file.
std::optional<MapRun> data_part(const MapRun& run, uint64_t first,
                                uint64_t end) {
  const uint64_t from = std::max<uint64_t>(run.file_block, first);
  const uint64_t to =
      std::min<uint64_t>(uint64_t{run.file_block} + run.count, end);
  if (from >= to || run.kind != RunKind::kData)
    return std::nullopt;
  const auto skipped = static_cast<uint32_t>(from - run.file_block);
  return MapRun{static_cast<uint32_t>(from), static_cast<uint32_t>(to - from),
                run.device + skipped, run.kind};
}

class MappingReader {
 public:
  MappingReader(const BlockSource& device, const RunVisitor& visit)
      : device_(device),
        visit_(visit),
        device_blocks_(device.size() / kBlockSize) {}

  Status read_extents(std::span<const std::byte> root);
  Status read_pointers(std::span<const std::byte> root);
  Mapping take();

 private:
  struct Node {
    std::span<const std::byte> bytes;
    uint32_t depth = 0;
    uint64_t first = 0;  // file blocks that it may speak of
    uint64_t end = 0;
  };
  Status read_node(const Node& node);
  Status read_index(const Node& node, uint32_t entries);
  Status read_leaf(const Node& node, uint32_t entries);
  Status read_pointer_block(uint32_t block, uint32_t height, uint64_t first);
  Status follow(uint64_t block, Block& out);
  Status add(const MapRun& run);

  const BlockSource& device_;
  const RunVisitor& visit_;
  const uint64_t device_blocks_;
  Mapping data_;
  Mapping maps_;
};

Status MappingReader::add(const MapRun& run) {
  if (run.device == 0 || uint64_t{run.device} + run.count > device_blocks_)
    return fail(EUCLEAN,
                fmt::format("block {} is not on the device", run.device));
  OVL_TRY(visit_(run.block(), run.count));
  append(run.kind == RunKind::kMap ? maps_ : data_, run);
  return {};
}

Status MappingReader::follow(uint64_t block, Block& out) {
  if (block > UINT32_MAX)
    return fail(EUCLEAN, fmt::format("block {} is not on the device", block));
  OVL_TRY(add({0, 1, static_cast<uint32_t>(block), RunKind::kMap}));
  return device_.read(block * kBlockSize, out);
}

Status MappingReader::read_extents(std::span<const std::byte> root) {
  const uint32_t depth = load_le<uint16_t>(root, 6);
  if (depth > kMaxDepth)
    return fail(EUCLEAN, fmt::format("its extents are {} deep", depth));
  return read_node({root, depth, 0, kMaxFileBlocks});
}

Status MappingReader::read_node(const Node& node) {
  const uint32_t entries = load_le<uint16_t>(node.bytes, 2);
  const uint32_t room = load_le<uint16_t>(node.bytes, 4);
  if (load_le<uint16_t>(node.bytes, 0) != kExtentMagic || entries > room ||
      (uint64_t{entries} + 1) * kExtentBytes > node.bytes.size() ||
      load_le<uint16_t>(node.bytes, 6) != node.depth)
    return fail(EUCLEAN, "a node of its extents makes no sense");
  return node.depth == 0 ? read_leaf(node, entries) : read_index(node, entries);
}

Status MappingReader::read_index(const Node& node, uint32_t entries) {
  if (entries == 0)
    return fail(EUCLEAN, "an index of its extents is empty");
  uint64_t before = node.first;
  for (uint32_t i = 1; i <= entries; ++i) {
    const auto entry = node.bytes.subspan(size_t{i} * kExtentBytes);
    const uint64_t first = load_le<uint32_t>(entry, 0);
    const uint64_t end =
        i == entries ? node.end : load_le<uint32_t>(entry, kExtentBytes);
    if (first < before || first >= end)
      return fail(EUCLEAN, "its extents are out of order");
    const uint64_t high = load_le<uint16_t>(entry, 8);
    Block block;
    OVL_TRY(follow(high << 32 | load_le<uint32_t>(entry, 4), block));
    OVL_TRY(read_node({block, node.depth - 1, first, end}));
    before = end;
  }
  return {};
}

Status MappingReader::read_leaf(const Node& node, uint32_t entries) {
  uint64_t at = node.first;
  for (uint32_t i = 1; i <= entries; ++i) {
    const auto entry = node.bytes.subspan(size_t{i} * kExtentBytes);
    const uint32_t first = load_le<uint32_t>(entry, 0);
    const uint32_t length = load_le<uint16_t>(entry, 4);
    const bool is_unwritten = length > kMaxInitialized;
    const uint32_t count = is_unwritten ? length - kMaxInitialized : length;
    if (count == 0 || first < at || uint64_t{first} + count > node.end)
      return fail(EUCLEAN, "its extents are out of order");
    if (load_le<uint16_t>(entry, 6) != 0)
      return fail(EUCLEAN, "an extent is not on the device");
    OVL_TRY(add({first, count, load_le<uint32_t>(entry, 8),
                 is_unwritten ? RunKind::kUnwritten : RunKind::kData}));
    at = uint64_t{first} + count;
  }
  return {};
}

Status MappingReader::read_pointers(std::span<const std::byte> root) {
  uint64_t first = 0;
  for (uint32_t i = 0; i < EXT2_N_BLOCKS; ++i) {
    const uint32_t height = i < EXT2_NDIR_BLOCKS ? 0 : i - EXT2_NDIR_BLOCKS + 1;
    const auto block = load_le<uint32_t>(root, i * sizeof(uint32_t));
    if (block != 0)
      OVL_TRY(read_pointer_block(block, height, first));
    first += uint64_t{1} << (10 * height);
  }
  return {};
}

// A block of pointers of height 1 and more; of height 0, a block of the file.
Status MappingReader::read_pointer_block(uint32_t block, uint32_t height,
                                         uint64_t first) {
  if (height == 0)
    return add({static_cast<uint32_t>(first), 1, block, RunKind::kData});
  Block bytes;
  OVL_TRY(follow(block, bytes));
  const uint64_t step = uint64_t{1} << (10 * (height - 1));
  for (uint32_t i = 0; i < kPointers; ++i, first += step) {
    const auto pointer = load_le<uint32_t>(bytes, i * sizeof(uint32_t));
    if (pointer != 0)
      OVL_TRY(read_pointer_block(pointer, height - 1, first));
  }
  return {};
}

Mapping MappingReader::take() {
  data_.insert(data_.end(), maps_.begin(), maps_.end());
  return std::move(data_);
}

}  // namespace

bool has_mapping(const ExtInode& inode) {
  return S_ISREG(inode.mode()) || S_ISDIR(inode.mode()) ||
         (S_ISLNK(inode.mode()) && !inode.is_fast_symlink());
}

std::span<const MapRun> runs_from(const Mapping& mapping, uint64_t file_block) {
  const auto maps = std::ranges::partition_point(
      mapping, [](const MapRun& run) { return run.kind != RunKind::kMap; });
  const auto ends_before = [file_block](const MapRun& run) {
    return uint64_t{run.file_block} + run.count <= file_block;
  };
  return {std::partition_point(mapping.begin(), maps, ends_before), maps};
}

Mapping data_in(const Mapping& mapping, uint64_t first, uint64_t end) {
  Mapping runs;
  for (const MapRun& run : runs_from(mapping, first)) {
    if (run.file_block >= end)
      break;
    if (const auto part = data_part(run, first, end))
      runs.push_back(*part);
  }
  return runs;
}

Mapping all_data(const Mapping& mapping) {
  return data_in(mapping, 0, UINT64_MAX);
}

std::optional<BlockNo> data_block(const Mapping& mapping, uint64_t file_block) {
  const auto runs = runs_from(mapping, file_block);
  if (runs.empty() || runs.front().file_block > file_block ||
      runs.front().kind != RunKind::kData)
    return std::nullopt;
  return BlockNo{runs.front().device + (file_block - runs.front().file_block)};
}

Result<Mapping> read_mapping(const BlockSource& device, const ExtInode& inode,
                             const RunVisitor& visit) {
  MappingReader reader(device, visit);
  if (inode.has_extents())
    OVL_TRY(reader.read_extents(inode.pointers()));
  else
    OVL_TRY(reader.read_pointers(inode.pointers()));
  return reader.take();
}

}  // namespace ovl
