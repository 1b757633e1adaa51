// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/catalog_codec.h"

#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "fsengine/base/little_endian.h"

namespace ovl {

namespace {

constexpr uint32_t kGone = UINT32_MAX;
constexpr size_t kHashedHead = 32;

struct InodeRecord {
  uint32_t ino;
  uint32_t generation;
  uint64_t size;
  int64_t mtime_sec;
  uint64_t xattr_hash;
  uint64_t pointer_hash;
  uint32_t mtime_nsec;
  uint32_t uid;
  uint32_t gid;
  uint32_t flags;
  uint32_t xattr_block;
  uint32_t rdev;
  uint32_t parent;
  uint32_t runs;
  uint32_t said_generation;
  uint16_t mode;
  uint16_t links;
  uint8_t has_base_mapping;
  uint8_t zero[7];
};
static_assert(sizeof(InodeRecord) == 88);

struct RunRecord {
  uint32_t file_block;
  uint32_t count;
  uint32_t device;
  uint32_t kind;
};
static_assert(sizeof(RunRecord) == 16);

struct BlockRecord {
  uint32_t block;
  uint32_t length;
};

template <typename Record>
void put(std::vector<std::byte>& out, const Record& record) {
  const auto bytes = std::as_bytes(std::span(&record, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

uint64_t hash_of(std::span<const std::byte> head,
                 std::span<const std::byte> content, uint64_t number) {
  const uint64_t of_head =
      XXH3_64bits_withSeed(head.data(), kHashedHead, number);
  return XXH3_64bits_withSeed(content.data(), content.size(), of_head);
}

InodeRecord record_of(Ino ino, const InodeState& state) {
  const CatalogInode& inode = state.inode;
  InodeRecord record{};
  record.ino = to_int(ino);
  record.generation = inode.generation;
  record.size = inode.size;
  record.mtime_sec = inode.mtime_sec;
  record.xattr_hash = inode.xattr_hash;
  record.pointer_hash = inode.pointer_hash;
  record.mtime_nsec = inode.mtime_nsec;
  record.uid = inode.uid;
  record.gid = inode.gid;
  record.flags = inode.flags;
  record.xattr_block = inode.xattr_block;
  record.rdev = inode.rdev;
  record.parent = inode.parent;
  record.runs = static_cast<uint32_t>(state.mapping.size());
  record.said_generation = inode.said_generation;
  record.mode = inode.mode;
  record.links = inode.links;
  record.has_base_mapping = state.has_base_mapping ? 1 : 0;
  return record;
}

CatalogInode inode_of(const InodeRecord& record) {
  CatalogInode inode;
  inode.size = record.size;
  inode.mtime_sec = record.mtime_sec;
  inode.xattr_hash = record.xattr_hash;
  inode.pointer_hash = record.pointer_hash;
  inode.generation = record.generation;
  inode.mtime_nsec = record.mtime_nsec;
  inode.uid = record.uid;
  inode.gid = record.gid;
  inode.flags = record.flags;
  inode.xattr_block = record.xattr_block;
  inode.rdev = record.rdev;
  inode.parent = record.parent;
  inode.said_generation = record.said_generation;
  inode.mode = record.mode;
  inode.links = record.links;
  return inode;
}

class BatchReader {
 public:
  BatchReader(std::span<const std::byte> rest, Catalog& catalog)
      : rest_(rest), catalog_(catalog), image_(catalog.base().image()) {}

  Status read_inode();
  Status read_block();
  bool at_end() const { return rest_.empty(); }

 private:
  template <typename Record>
  Result<Record> get() {
    if (rest_.size() < sizeof(Record))
      return fail(EUCLEAN, "a batch is cut off");
    Record record;
    std::memcpy(&record, rest_.data(), sizeof record);
    rest_ = rest_.subspan(sizeof record);
    return record;
  }
  Result<MapRun> read_run();
  Status check(const InodeRecord& record) const;

  std::span<const std::byte> rest_;
  Catalog& catalog_;
  const Image& image_;
};

Status BatchReader::check(const InodeRecord& record) const {
  const uint64_t inodes = image_.groups() * image_.inodes_per_group();
  const uint64_t blocks = image_.size() / kBlockSize;
  const bool is_allowed =
      record.ino != 0 && record.ino <= inodes && record.parent <= inodes &&
      record.xattr_block < blocks && record.has_base_mapping <= 1 &&
      (record.has_base_mapping == 0 || record.runs == 0) &&
      record.runs <= rest_.size() / sizeof(RunRecord);
  if (!is_allowed)
    return fail(EUCLEAN, fmt::format("inode {} makes no sense", record.ino));
  return {};
}

Status BatchReader::read_inode() {
  const auto record = OVL_TRY(get<InodeRecord>());
  OVL_TRY(check(record));
  InodeState state{inode_of(record), record.has_base_mapping == 1, {}};
  state.mapping.reserve(record.runs);
  for (uint32_t i = 0; i < record.runs; ++i)
    state.mapping.push_back(OVL_TRY(read_run()));
  catalog_.set(Ino{record.ino}, std::move(state));
  return {};
}

Result<MapRun> BatchReader::read_run() {
  const auto record = OVL_TRY(get<RunRecord>());
  if (record.kind > static_cast<uint32_t>(RunKind::kMap) || record.count == 0 ||
      uint64_t{record.device} + record.count > image_.size() / kBlockSize ||
      uint64_t{record.file_block} + record.count > uint64_t{1} << 32)
    return fail(EUCLEAN, "a run makes no sense");
  return MapRun{record.file_block, record.count, record.device,
                static_cast<RunKind>(record.kind)};
}

Status BatchReader::read_block() {
  const auto record = OVL_TRY(get<BlockRecord>());
  const BlockNo block{record.block};
  if (to_int(block) >= image_.size() / kBlockSize)
    return fail(EUCLEAN, "a block of names makes no sense");
  if (record.length == kGone) {
    catalog_.forget_names(block);
    return {};
  }
  if (record.length > rest_.size())
    return fail(EUCLEAN, "a batch is cut off");
  std::string bytes(reinterpret_cast<const char*>(rest_.data()), record.length);
  rest_ = rest_.subspan(record.length);
  catalog_.set_names(block, OVL_TRY(PackedNames::from_bytes(std::move(bytes))));
  return {};
}

}  // namespace

CatalogDelta whole(const Catalog& catalog) {
  CatalogDelta delta;
  catalog.for_each_inode(
      [&](Ino ino, const auto&...) { delta.inodes.push_back(ino); });
  catalog.for_each_block_of_names(
      [&](BlockNo block, const PackedNames&) { delta.names.push_back(block); });
  std::ranges::sort(delta.inodes);
  std::ranges::sort(delta.names);
  return delta;
}

std::vector<std::byte> encode_batch(const Catalog& catalog,
                                    const CatalogDelta& delta,
                                    const CatalogPoint& point,
                                    uint64_t number) {
  std::vector<std::byte> out(kBatchHeadBytes);
  for (const Ino ino : delta.inodes) {
    const InodeState state = catalog.known_state(ino);
    put(out, record_of(ino, state));
    for (const MapRun& run : state.mapping)
      put(out, RunRecord{run.file_block, run.count, run.device,
                         static_cast<uint32_t>(run.kind)});
  }
  for (const BlockNo block : delta.names) {
    const PackedNames* names = catalog.known_names(block);
    const auto number_of = static_cast<uint32_t>(to_int(block));
    if (names == nullptr) {
      put(out, BlockRecord{number_of, kGone});
      continue;
    }
    const std::string& text = names->bytes();
    put(out, BlockRecord{number_of, static_cast<uint32_t>(text.size())});
    const auto bytes = std::as_bytes(std::span(text));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  const std::span<std::byte> head(out.data(), kBatchHeadBytes);
  store_le(head, 0, point.position);
  store_le(head, 8, point.transaction);
  store_le(head, 12, static_cast<uint32_t>(delta.inodes.size()));
  store_le(head, 16, static_cast<uint32_t>(delta.names.size()));
  store_le(head, 24, uint64_t{out.size() - kBatchHeadBytes});
  store_le(head, kHashedHead,
           hash_of(head, std::span(out).subspan(kBatchHeadBytes), number));
  return out;
}

BatchHead decode_batch_head(std::span<const std::byte> bytes) {
  return {{load_le<uint64_t>(bytes, 0), load_le<uint32_t>(bytes, 8)},
          load_le<uint32_t>(bytes, 12),
          load_le<uint32_t>(bytes, 16),
          load_le<uint64_t>(bytes, 24),
          load_le<uint64_t>(bytes, kHashedHead)};
}

Status decode_batch(std::span<const std::byte> head,
                    std::span<const std::byte> content, uint64_t number,
                    Catalog& catalog) {
  const BatchHead batch = decode_batch_head(head);
  if (batch.length != content.size() ||
      batch.hash != hash_of(head, content, number))
    return fail(EUCLEAN, "a batch is damaged");
  BatchReader reader(content, catalog);
  for (uint32_t i = 0; i < batch.inodes; ++i)
    OVL_TRY(reader.read_inode());
  for (uint32_t i = 0; i < batch.blocks; ++i)
    OVL_TRY(reader.read_block());
  if (!reader.at_end())
    return fail(EUCLEAN, "a batch has more than it says");
  return {};
}

}  // namespace ovl
