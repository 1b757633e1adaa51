// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/decoder.h"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "fsengine/base/little_endian.h"
#include "images/decode/bitmap_check.h"
#include "images/decode/change_builder.h"
#include "images/decode/changed_blocks.h"
#include "images/decode/end_check.h"
#include "images/decode/inode_pass.h"
#include "images/decode/name_pass.h"
#include "images/ext_file.h"

namespace ovl {

namespace {

using Block = std::array<std::byte, kBlockSize>;

constexpr size_t kDescriptorBytes = 32;
constexpr size_t kPlacesBytes = 12;  // of bitmaps and inode table

std::vector<MappedRun> runs_of(const Mapping& mapping) {
  std::vector<MappedRun> runs;
  for (const MapRun& run : mapping)
    if (run.kind == RunKind::kData)
      runs.push_back({run.file_block, run.block(), run.count});
  return runs;
}

// What is inconsistent in place may be on its way.
template <typename T>
T or_not_yet(FsMode mode, T result) {
  if (!result && mode != FsMode::kJournal && result.error().code() == EUCLEAN)
    return fail(EBUSY, "not consistent yet: " + result.error().what());
  return result;
}

// Fields of the superblock that say where everything is.
constexpr std::pair<size_t, size_t> kGeometryFields[] = {
    {offsetof(ext2_super_block, s_inodes_count), sizeof(uint32_t)},
    {offsetof(ext2_super_block, s_blocks_count), sizeof(uint32_t)},
    {offsetof(ext2_super_block, s_blocks_count_hi), sizeof(uint32_t)},
    {offsetof(ext2_super_block, s_inodes_per_group), sizeof(uint32_t)},
    {offsetof(ext2_super_block, s_desc_size), sizeof(uint16_t)},
};

}  // namespace

// What accept() is to do.
struct Decoder::Pending {
  Pending(const Catalog& catalog, const BlockSource& view)
      : inodes(catalog, view), names(catalog, view, inodes) {}

  InodePass inodes;
  NamePass names;
  Changes changes;
};

Decoder::Decoder(Catalog catalog)
    : catalog_(std::move(catalog)),
      base_(catalog_.base()),
      image_(base_.image()) {}

Decoder::~Decoder() = default;

void Decoder::note_written(BlockNo first, uint64_t count) {
  written_.add(first, count);
}

Result<Changes> Decoder::decode(const BlockSource& device,
                                Stillness stillness) {
  pending_.reset();
  view_.reset();
  mode_ = OVL_TRY(look_at(device, stillness));
  view_.emplace(device, journal_);
  auto pending = std::make_unique<Pending>(catalog_, *view_);
  OVL_TRY(or_not_yet(mode_, run(*view_, *pending)));
  pending_ = std::move(pending);
  return std::move(pending_->changes);
}

// The superblock in place rules the mode, the committed one the features.
Result<FsMode> Decoder::look_at(const BlockSource& device,
                                Stillness stillness) {
  const FsMode mode = OVL_TRY(read_mode(device, image_.uuid()));
  if (mode != FsMode::kJournal && stillness == Stillness::kBusy)
    return fail(EBUSY, "the guest writes in place, without a journal");
  const bool has_journal =
      OVL_TRY(or_not_yet(mode, look_at_journal(device).in("journal")));
  if (mode == FsMode::kJournal) {
    if (!has_journal)
      return fail(EUCLEAN, "its journal is to be replayed, and it has none");
    const CommittedView view(device, journal_);
    OVL_TRY(read_mode(view, image_.uuid()));
    return mode;
  }
  if (!journal_.is_empty())
    return fail(EBUSY, "the journal is not empty, and not to be replayed");
  return mode;
}

Result<bool> Decoder::look_at_journal(const BlockSource& device) {
  const bool has_journal = OVL_TRY(check_journal(device));
  if (has_journal)
    OVL_TRY(advance_journal(device));
  else
    forget_journal();
  return has_journal;
}

// tune2fs(8) can take it away, and make one that is elsewhere.
Result<bool> Decoder::check_journal(const BlockSource& device) {
  std::array<std::byte, sizeof(ext2_super_block)> super;
  OVL_TRY(device.read(SUPERBLOCK_OFFSET, super));
  const auto field = [&super](size_t offset) {
    return load_le<uint32_t>(super, offset);
  };
  if ((field(offsetof(ext2_super_block, s_feature_compat)) &
       EXT3_FEATURE_COMPAT_HAS_JOURNAL) == 0)
    return false;
  const uint32_t ino = field(offsetof(ext2_super_block, s_journal_inum));
  const uint32_t dev = field(offsetof(ext2_super_block, s_journal_dev));
  if (ino == 0 && dev == 0)
    return fail(EUCLEAN, "it is nowhere");  // tune2fs is about to make it
  if (ino != EXT2_JOURNAL_INO || dev != 0)
    return fail(ENOTSUP, "it is not in inode 8");
  return true;
}

// What had a copy in it is in place.
void Decoder::forget_journal() {
  for (auto copy = journal_.next_copy(BlockNo{}); copy;
       copy = journal_.next_copy(BlockNo{to_int(*copy) + 1}))
    touched_.add(*copy, 1);
  journal_ = JournalLog();
}

Status Decoder::advance_journal(const BlockSource& device) {
  OVL_TRY(find_journal(device));
  OVL_TRY(journal_.advance(device, runs_of(journal_mapping_)));
  for (const BlockNo block : journal_.take_touched())
    touched_.add(block, 1);
  if (journal_.guest_error() != 0)
    return fail(EBUSY, fmt::format("the guest gave it up with error {}, for "
                                   "errors in its file system: run e2fsck",
                                   journal_.guest_error()));
  return {};
}

// Mapped once: it stays where it is, unless its inode or a block of its mapping
// is written.
Status Decoder::find_journal(const BlockSource& device) {
  const Ino ino{EXT2_JOURNAL_INO};
  ExtInode::Bytes bytes;
  const uint64_t offset = to_int(image_.inode_block(ino)) * kBlockSize +
                          uint64_t{EXT2_JOURNAL_INO - 1} * Image::kInodeSize;
  OVL_TRY(device.read(offset, bytes));
  const auto is_written = [this](const MapRun& run) {
    for (uint32_t i = 0; i < run.count; ++i)
      if (written_.test(BlockNo{uint64_t{run.device} + i}))
        return true;
    return false;
  };
  const auto maps =
      std::ranges::find(journal_mapping_, RunKind::kMap, &MapRun::kind);
  if (bytes == journal_inode_ &&
      std::none_of(maps, journal_mapping_.end(), is_written))
    return {};
  const ExtInode inode(bytes);
  if (!S_ISREG(inode.mode()))
    return fail(EUCLEAN, "inode 8 is no file");
  BlockSet claims;
  journal_mapping_ = OVL_TRY(read_mapping(
      device, inode, [&claims](BlockNo first, uint64_t count) -> Status {
        if (!claims.add(first, count))
          return fail(EUCLEAN, "it has a block twice");
        return {};
      }));
  journal_inode_ = bytes;
  return {};
}

Status Decoder::run(const BlockSource& view, Pending& pending) const {
  // What was written in place under a copy of the journal is not to be seen.
  const auto is_changed = [this](BlockNo block) {
    return touched_.test(block) || !journal_.find(block);
  };
  BlockSet changed = written_;
  OVL_TRY(touched_.for_each_run([&changed](const BlockSet::Run& run) {
    changed.add(run.first, run.count);
    return Status();
  }));
  const ChangedBlocks blocks = OVL_TRY(sort_out(catalog_, changed, is_changed));
  OVL_TRY(check_geometry(view, blocks.group_metadata));
  OVL_TRY(pending.inodes.run(blocks));
  OVL_TRY(pending.names.run());
  if (mode_ != FsMode::kJournal) {
    OVL_TRY(check_bitmaps(catalog_, view, pending.inodes));
    OVL_TRY(check_ends(catalog_, view, pending.inodes));
  }
  pending.changes =
      OVL_TRY(build_changes(catalog_, view, pending.inodes, pending.names));
  return {};
}

// Nothing was moved by resize2fs: superblock and descriptors say of places
// what those of the base image say.
Status Decoder::check_geometry(const BlockSource& view,
                               const std::vector<BlockNo>& changed) const {
  const auto moved = [] {
    return fail(ENOTSUP, "the file system was resized");
  };
  const uint64_t descriptors = blocks_for(image_.groups() * kDescriptorBytes);
  Block now;
  Block base;
  for (const BlockNo block : changed) {
    if (to_int(block) > descriptors)
      continue;  // a copy
    OVL_TRY(view.read(to_int(block) * kBlockSize, now));
    OVL_TRY(base_.metadata().read(to_int(block) * kBlockSize, base));
    const auto same = [&](size_t offset, size_t length) {
      return std::equal(now.begin() + ptrdiff_t(offset),
                        now.begin() + ptrdiff_t(offset + length),
                        base.begin() + ptrdiff_t(offset));
    };
    if (to_int(block) == 0) {
      for (const auto& [field, length] : kGeometryFields)
        if (!same(SUPERBLOCK_OFFSET + field, length))
          return moved();
      continue;
    }
    for (size_t at = 0; at < kBlockSize; at += kDescriptorBytes)
      if (!same(at, kPlacesBytes))
        return moved();
  }
  return {};
}

CatalogDelta Decoder::accept() {
  CatalogDelta delta;
  for (InodeChange& change : pending_->inodes.changes()) {
    delta.inodes.push_back(change.ino);
    catalog_.set(change.ino, std::move(change.after));
  }
  delta.names = pending_->names.gone_blocks();
  for (const BlockNo block : delta.names)
    catalog_.forget_names(block);
  for (auto& [block, names] : pending_->names.new_blocks()) {
    delta.names.push_back(block);
    catalog_.set_names(block, std::move(names));
  }
  std::ranges::sort(delta.names);
  delta.names.erase(std::unique(delta.names.begin(), delta.names.end()),
                    delta.names.end());
  pending_.reset();
  written_.clear();
  touched_.clear();
  return delta;
}

std::optional<uint32_t> Decoder::last_running() const {
  if (mode_ != FsMode::kJournal || journal_.is_empty())
    return std::nullopt;
  return journal_.last_transaction() + 2;
}

uint64_t Decoder::blocks_in_place(BlockNo first, uint64_t max) const {
  if (!view_)
    return 0;
  return view_->in_place_at(to_int(first) * kBlockSize, max * kBlockSize) /
         kBlockSize;
}

Result<std::unique_ptr<BlockSource>> Decoder::open_file(Ino ino) const {
  const CatalogInode inode = OVL_TRY(catalog_.inode(ino));
  if (!inode.is_regular() || !view_)
    return fail(EINVAL,
                fmt::format("inode {}: not a regular file", to_int(ino)));
  return std::make_unique<ExtFile>(
      *view_, runs_of(OVL_TRY(catalog_.mapping(ino))), inode.size);
}

}  // namespace ovl
