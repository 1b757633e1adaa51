// SPDX-License-Identifier: BSD-3-Clause
#include "images/image.h"

#include <algorithm>
#include <cerrno>

#include "images/device_map.h"
#include "images/fingerprint.h"
#include "images/journal.h"
#include "images/layout_builder.h"
#include "images/metadata.h"
#include "images/sizing.h"

namespace ovl {

namespace {

constexpr size_t kMaxLabelBytes = 16;

Demand demand_of(const Layout& layout, bool journal) {
  const uint32_t reserved = to_int(kFirstIno) - 1;
  Demand demand;
  // The root's number is one of the reserved ones.
  demand.lower_inodes = reserved + layout.lower().slots_end - 1;
  demand.inodes = to_int(layout.last_ino());
  demand.lower_blocks = layout.lower().end_position;
  demand.blocks = layout.end_position();
  demand.live_blocks = demand.blocks;
  for (const FreeRange& range : layout.free_ranges())
    demand.live_blocks -= range.count;
  demand.journal = journal;
  demand.type = layout.type();
  return demand;
}

bool is_computed(Piece::Kind kind) {
  return kind != Piece::Kind::kZero && kind != Piece::Kind::kFile;
}

Segment to_segment(const Piece& piece, const Layout& layout) {
  Segment segment;
  segment.length = piece.count * kBlockSize;
  if (is_computed(piece.kind))
    segment.kind = Segment::Kind::kMetadata;
  if (piece.kind == Piece::Kind::kFile) {
    segment.kind = Segment::Kind::kFile;
    segment.node = layout.slot(piece.owner).node;
    segment.file_offset = uint64_t{piece.index} * kBlockSize;
  }
  return segment;
}

Result<Geometry> size_image(const Layout& layout, const ImageOptions& options) {
  return choose_geometry(options.size, demand_of(layout, options.journal));
}

}  // namespace

// Later members borrow from those before.
struct Image::Parts {
  Parts(Layout laid_out, const Geometry& geometry, Identity identity,
        uint32_t journal_blocks)
      : layout(std::move(laid_out)),
        map(geometry, layout, journal_blocks),
        metadata(layout, map, std::move(identity)) {}

  Owner owner_of_data(const Piece& piece) const;

  Layout layout;
  DeviceMap map;
  Metadata metadata;
  uint64_t fingerprint = 0;
};

Result<std::unique_ptr<Image>> Image::build(Tree lower, Tree merged,
                                            const ImageOptions& options) {
  if (options.label.size() > kMaxLabelBytes)
    return fail(EINVAL, "label: longer than 16 bytes");
  Layout layout = OVL_TRY(build_layout(lower, merged, options.type));
  const Geometry geometry = OVL_TRY(size_image(layout, options));
  const LayoutDigest digest = digest_layout(layout);
  const Identity identity = make_identity(digest, layout.hash_seed(), options);
  const uint32_t journal_blocks =
      options.journal ? journal_blocks_for(geometry.shape().groups) : 0;
  auto parts = std::make_unique<Parts>(std::move(layout), geometry, identity,
                                       journal_blocks);
  parts->fingerprint =
      fingerprint_of(digest, geometry, identity, options.journal);
  return std::unique_ptr<Image>(new Image(std::move(parts)));
}

Image::Image(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}

Image::~Image() = default;

uint64_t Image::size() const {
  return parts_->map.geometry().device_blocks() * kBlockSize;
}

Segment Image::resolve(uint64_t offset, uint64_t length) const {
  const auto segment_at = [this](uint64_t at) {
    const Piece piece = parts_->map.piece_at(BlockNo{at / kBlockSize});
    Segment segment = to_segment(piece, parts_->layout);
    segment.length -= at % kBlockSize;
    segment.file_offset += at % kBlockSize;
    return segment;
  };
  Segment segment = segment_at(offset);
  while (segment.kind != Segment::Kind::kFile && segment.length < length) {
    const Segment next = segment_at(offset + segment.length);
    if (next.kind != segment.kind)
      break;
    segment.length += next.length;
  }
  segment.length = std::min(segment.length, length);
  return segment;
}

void Image::read_metadata(uint64_t offset, std::span<std::byte> out) const {
  std::array<std::byte, kBlockSize> block;
  while (!out.empty()) {
    const uint64_t skip = offset % kBlockSize;
    const size_t part = std::min<size_t>(kBlockSize - skip, out.size());
    parts_->metadata.fill(BlockNo{offset / kBlockSize}, block);
    std::ranges::copy(std::span(block).subspan(skip, part), out.begin());
    out = out.subspan(part);
    offset += part;
  }
}

NodeId Image::node_of(Ino ino) const {
  const uint32_t slot = parts_->layout.live_slot(ino);
  return slot == kNoSlot ? kNoNode : parts_->layout.slot(slot).node;
}

Ino Image::ino_of(NodeId node) const {
  const uint32_t slot = parts_->layout.live_slot(node);
  return slot == kNoSlot ? Ino{} : parts_->layout.slot(slot).ino;
}

Ino Image::parent_of(Ino ino) const {
  const Layout& layout = parts_->layout;
  const uint32_t slot = layout.live_slot(ino);
  if (slot == kNoSlot || !layout.node(slot).is_dir())
    return Ino{};
  return layout.directory(slot).parent;
}

bool Image::has_name(Ino ino, std::string_view name) const {
  const Layout& layout = parts_->layout;
  const uint32_t slot = layout.live_slot(ino);
  return slot != kNoSlot && layout.node(slot).is_dir() &&
         layout.pool().child(layout.slot(slot).node, name) != kNoNode;
}

Image::InodeBytes Image::inode_bytes(Ino ino) const {
  return parts_->metadata.inode(ino);
}

std::vector<Image::BlockRun> Image::blocks_of(NodeId node) const {
  const uint32_t slot = parts_->layout.live_slot(node);
  if (slot == kNoSlot)
    return {};
  const DeviceMap& map = parts_->map;
  return map.device_runs(map.position_of(slot, 0),
                         parts_->layout.blocks_of(slot));
}

std::optional<BlockNo> Image::block_of(NodeId node, uint64_t file_block) const {
  const uint32_t slot = parts_->layout.live_slot(node);
  if (slot == kNoSlot || file_block >= FileMap::kMaxExtentFileBlocks)
    return std::nullopt;
  const auto index =
      parts_->layout.file_map(slot).block_of(static_cast<uint32_t>(file_block));
  if (!index)
    return std::nullopt;
  return parts_->map.geometry().block_at(parts_->map.position_of(slot, *index));
}

Image::Owner Image::owner_of(BlockNo block) const {
  const Geometry& geometry = parts_->map.geometry();
  const Place place = geometry.locate(block);
  const auto first_ino = [&] {
    return Ino{place.group * geometry.shape().inodes_per_group +
               place.index * Shape::kInodesPerBlock + 1};
  };
  switch (place.region) {
    case Region::kData:
      return parts_->owner_of_data(parts_->map.piece_at(block));
    case Region::kInodeTable:
      return {Owner::Kind::kInodeTable, first_ino(), 0, 0, 1};
    case Region::kBlockBitmap:
      return {Owner::Kind::kBlockBitmap, {}, 0, 0, place.count};
    case Region::kInodeBitmap:
      return {Owner::Kind::kInodeBitmap, {}, 0, 0, place.count};
    default:
      return {Owner::Kind::kGroupMetadata, {}, 0, 0, place.count};
  }
}

Image::Owner Image::Parts::owner_of_data(const Piece& piece) const {
  const bool is_journal = piece.owner == kNoSlot;
  switch (piece.kind) {
    case Piece::Kind::kJournalSuperblock:
      return {Owner::Kind::kJournal, kJournalIno, 0, 0, piece.count};
    case Piece::Kind::kIndirect:
      if (is_journal)
        return {Owner::Kind::kJournal, kJournalIno, 0, 0, piece.count};
      return {Owner::Kind::kMap, layout.slot(piece.owner).ino, 0, 0,
              piece.count};
    case Piece::Kind::kDirectory:
    case Piece::Kind::kSymlink:
    case Piece::Kind::kFile:
      return {Owner::Kind::kContent, layout.slot(piece.owner).ino, piece.index,
              0, piece.count};
    case Piece::Kind::kXattrs:
      return {Owner::Kind::kXattrs,
              {},
              0,
              layout.xattr_block(piece.owner).users,
              piece.count};
    default:
      return {is_journal ? Owner::Kind::kJournal : Owner::Kind::kFree,
              is_journal ? kJournalIno : Ino{}, 0, 0, piece.count};
  }
}

std::vector<Image::XattrUser> Image::xattr_users() const {
  const Layout& layout = parts_->layout;
  std::vector<XattrUser> users;
  for (const XattrUse& use : layout.xattr_uses())
    if (layout.slot(use.slot).links > 0)
      users.push_back(
          {parts_->map.block_of_xattrs(use.block), layout.slot(use.slot).ino});
  return users;
}

uint64_t Image::groups() const {
  return parts_->map.geometry().shape().groups;
}

uint32_t Image::inodes_per_group() const {
  return parts_->map.geometry().shape().inodes_per_group;
}

BlockNo Image::block_bitmap(uint64_t group) const {
  return BlockNo{
      parts_->map.geometry().block_bitmap(static_cast<uint32_t>(group))};
}

BlockNo Image::inode_bitmap(uint64_t group) const {
  return BlockNo{
      parts_->map.geometry().inode_bitmap(static_cast<uint32_t>(group))};
}

BlockNo Image::inode_block(Ino ino) const {
  const Geometry& geometry = parts_->map.geometry();
  const uint32_t index = to_int(ino) - 1;
  const uint32_t per_group = geometry.shape().inodes_per_group;
  return BlockNo{geometry.inode_table(index / per_group) +
                 index % per_group / Shape::kInodesPerBlock};
}

uint64_t Image::fingerprint() const {
  return parts_->fingerprint;
}

const Uuid& Image::uuid() const {
  return parts_->metadata.identity().uuid;
}

}  // namespace ovl
