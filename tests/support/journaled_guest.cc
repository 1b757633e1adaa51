// SPDX-License-Identifier: BSD-3-Clause
//
// A transaction, in order:
//
//   content in place     a block that stands alone in two halves
//   descriptor, copies of metadata, revoked blocks      to the journal
//   commit block         with it the committed state is the new one
//   discards             of what the transaction freed
//
// What was metadata in the journal and is none any more is revoked: a replay
// would write it over the content that is there now. Until the commit it is
// metadata all the same, so that content shows with the commit only.
#include "tests/support/journaled_guest.h"

#include <algorithm>
#include <utility>

namespace ovl {
namespace {

constexpr uint64_t kSuperblockAt = 1024;
constexpr uint64_t kSuperblockBytes = 1024;
constexpr uint64_t kIncompatAt = kSuperblockAt + 0x60;

int add_block(ext2_filsys, blk64_t* block, e2_blkcnt_t at, blk64_t, int,
              void* found) {
  auto& runs = *static_cast<std::vector<MappedRun>*>(found);
  const auto file_block = static_cast<uint64_t>(at);
  if (!runs.empty() &&
      to_int(runs.back().device) + runs.back().count == *block &&
      runs.back().file_block + runs.back().count == file_block)
    ++runs.back().count;
  else
    runs.push_back({file_block, BlockNo{*block}, 1});
  return 0;
}

Result<std::vector<MappedRun>> data_blocks(ext2_filsys fs, ext2_ino_t ino) {
  std::vector<MappedRun> found;
  OVL_TRY(ext2_status(ext2fs_block_iterate3(
                          fs, ino, BLOCK_FLAG_DATA_ONLY | BLOCK_FLAG_READ_ONLY,
                          nullptr, add_block, &found),
                      "blocks of an inode"));
  return found;
}

bool has_content(const GuestInode& inode) {
  return LINUX_S_ISREG(inode.fields.i_mode) && inode.fields.i_blocks != 0;
}

}  // namespace

Result<std::unique_ptr<JournaledGuest>> JournaledGuest::mount(
    const BlockSource& device) {
  std::unique_ptr<JournaledGuest> guest(new JournaledGuest(device));
  OVL_TRY(device.read(0, guest->disk_.bytes()));
  std::ranges::copy(guest->disk_.bytes(), guest->memory_.bytes().begin());
  OVL_TRY(guest->find_journal());
  guest->mount_again();
  return guest;
}

void JournaledGuest::mount_again() {
  write_superblock(true);
  journal_->set_tail(journal_->id, journal_->head);
  write_journal_superblock();
  flush();
}

// It goes on behind the last transaction that was written there.
Status JournaledGuest::find_journal() {
  const GuestFs fs = OVL_TRY(GuestFs::open(memory_));
  journal_ = std::make_unique<JournalWriter>(
      disk_, OVL_TRY(data_blocks(fs.fs(), EXT2_JOURNAL_INO)), JournalKind{});
  const auto super = journal_->block(0);
  journal_->id = load_be32(super, 0x18);
  std::ranges::copy(super.subspan(0x30, 16), journal_->uuid.begin());
  return {};
}

Status JournaledGuest::work(const std::function<Status(GuestFs&)>& work) {
  before_.clear();
  later_.clear();
  OVL_TRY(change_memory(work));
  write_content();
  write_transaction();
  discard();
  return {};
}

Status JournaledGuest::change_memory(
    const std::function<Status(GuestFs&)>& work) {
  const auto sink = [this](uint64_t offset, std::span<const std::byte> bytes) {
    for (uint64_t at = offset / kBlockSize * kBlockSize;
         at < offset + bytes.size(); at += kBlockSize)
      before_.try_emplace(at / kBlockSize, block_of(at / kBlockSize));
    std::ranges::copy(bytes, memory_.bytes().begin() + ptrdiff_t(offset));
    return Status();
  };
  GuestFs fs = OVL_TRY(GuestFs::open(memory_, {sink, {}}));
  OVL_TRY(note_use(fs));
  const Blocks used = used_;
  OVL_TRY(work(fs));
  OVL_TRY(note_use(fs));
  freed_.clear();
  std::ranges::set_difference(used, used_, std::inserter(freed_, freed_.end()));
  OVL_TRY(fs.close());
  forget_unused();
  std::erase_if(before_, [this](const auto& one) {
    return one.second == block_of(one.first);
  });
  return {};
}

// What is in no use, before or after, is as the disk has it.
void JournaledGuest::forget_unused() {
  for (const auto& [number, old] : before_)
    if (!used_.contains(number))
      std::ranges::copy(old, memory_.block(BlockNo{number}).begin());
}

Status JournaledGuest::note_use(const GuestFs& fs) {
  used_.clear();
  content_.clear();
  for (uint64_t at = 0; at < memory_.size() / kBlockSize; ++at)
    if (ext2fs_test_block_bitmap2(fs.fs()->block_map, at) != 0)
      used_.insert(at);
  for (ext2_ino_t ino = EXT2_GOOD_OLD_FIRST_INO;
       ino <= fs.fs()->super->s_inodes_count; ++ino) {
    if (ext2fs_test_inode_bitmap2(fs.fs()->inode_map, ino) == 0 ||
        !has_content(OVL_TRY(fs.read_inode(Ino{ino}))))
      continue;
    for (const MappedRun& run : OVL_TRY(data_blocks(fs.fs(), ino)))
      for (uint64_t i = 0; i < run.count; ++i)
        content_.insert(to_int(run.device) + i);
  }
  return {};
}

JournalBlock JournaledGuest::block_of(uint64_t number) const {
  JournalBlock block;
  std::ranges::copy(memory_.bytes().subspan(number * kBlockSize, kBlockSize),
                    block.begin());
  return block;
}

JournalBlock JournaledGuest::as_mounted(uint64_t number) const {
  JournalBlock block = block_of(number);
  if (number == 0)
    block[kIncompatAt] |= std::byte{EXT3_FEATURE_INCOMPAT_RECOVER};
  return block;
}

void JournaledGuest::write_content() {
  Blocks zeros;
  Blocks others;
  for (const auto& [number, old] : before_)
    if (content_.contains(number))
      (block_of(number) == JournalBlock{} ? zeros : others).insert(number);
  for (const auto& [first, count] : runs_of(others))
    if (count == 1 && !in_journal_.contains(first)) {
      write_half(first, 0);
      write_half(first, 1);
    } else {
      write_run(first, count);
    }
  for (const auto& [first, count] : runs_of(zeros))
    write_run(first, count).kind = GuestRequest::Kind::kZero;
}

GuestRequest& JournaledGuest::write_run(uint64_t first, uint64_t count) {
  GuestRequest& request =
      write(first * kBlockSize,
            memory_.bytes().subspan(first * kBlockSize, count * kBlockSize));
  for (uint64_t at = first; at < first + count; ++at)
    (in_journal_.contains(at) ? later_ : request.commits)
        .push_back({at, block_of(at)});
  return request;
}

void JournaledGuest::write_half(uint64_t number, size_t half) {
  constexpr size_t kHalf = kBlockSize / 2;
  const auto bytes = memory_.bytes().subspan(number * kBlockSize, kBlockSize);
  GuestRequest& request = write(number * kBlockSize + half * kHalf,
                                bytes.subspan(half * kHalf, kHalf));
  JournalBlock shown = half == 0 ? before_.at(number) : block_of(number);
  std::ranges::copy(bytes.first(kHalf), shown.begin());
  request.commits.push_back({number, shown});
}

void JournaledGuest::write_transaction() {
  std::vector<JournalWrite> writes;
  for (const auto& [number, old] : before_)
    if (!content_.contains(number)) {
      writes.push_back({number, as_mounted(number)});
      later_.push_back({number, block_of(number)});
    }
  const std::vector<uint64_t> gone = revoked();
  const uint32_t from = journal_->head;
  journal_->write(writes, gone);
  write_positions(from, journal_->head - from);
  requests_.back().commits = std::move(later_);
  requests_.back().frees = freed_;
  for (const uint64_t number : gone)
    in_journal_.erase(number);
  for (const JournalWrite& one : writes)
    in_journal_.insert(one.block);
}

std::vector<uint64_t> JournaledGuest::revoked() const {
  std::vector<uint64_t> gone;
  for (const uint64_t number : in_journal_)
    if (content_.contains(number) || !used_.contains(number))
      gone.push_back(number);
  return gone;
}

// The last of them, the commit, by itself.
void JournaledGuest::write_positions(uint32_t from, uint32_t count) {
  Blocks blocks;
  for (uint32_t at = from; at + 1 < from + count; ++at)
    blocks.insert(to_int(journal_->at(at)));
  write_blocks(blocks);
  write_blocks({to_int(journal_->at(from + count - 1))});
}

void JournaledGuest::discard() {
  for (const auto& [first, count] : runs_of(freed_)) {
    const std::vector<std::byte> zeros(count * kBlockSize);
    write(first * kBlockSize, zeros).kind = GuestRequest::Kind::kZero;
    std::ranges::copy(zeros,
                      memory_.bytes().begin() + ptrdiff_t(first * kBlockSize));
  }
}

void JournaledGuest::write_home() {
  for (const uint64_t number : in_journal_)
    std::ranges::copy(as_mounted(number), disk_.block(BlockNo{number}).begin());
  write_blocks(in_journal_);
  in_journal_.clear();
  flush();
  journal_->set_tail(journal_->id, journal_->head);
  write_journal_superblock();
  flush();
}

void JournaledGuest::unmount() {
  write_home();
  journal_->set_tail(journal_->id, 0);
  write_journal_superblock();
  write_superblock(false);
  flush();
}

void JournaledGuest::write_superblock(bool is_mounted) {
  const JournalBlock block = is_mounted ? as_mounted(0) : block_of(0);
  write(kSuperblockAt,
        std::span(block).subspan(kSuperblockAt, kSuperblockBytes));
}

void JournaledGuest::write_journal_superblock() {
  write_blocks({to_int(journal_->at(0))});
}

// As they are on its disk.
void JournaledGuest::write_blocks(const Blocks& blocks) {
  for (const auto& [first, count] : runs_of(blocks))
    write(first * kBlockSize,
          disk_.bytes().subspan(first * kBlockSize, count * kBlockSize));
}

GuestRequest& JournaledGuest::write(uint64_t offset,
                                    std::span<const std::byte> bytes) {
  requests_.push_back({.kind = GuestRequest::Kind::kWrite,
                       .offset = offset,
                       .bytes = {bytes.begin(), bytes.end()}});
  std::ranges::copy(requests_.back().bytes,
                    disk_.bytes().begin() + ptrdiff_t(offset));
  return requests_.back();
}

std::vector<JournaledGuest::Run> JournaledGuest::runs_of(const Blocks& blocks) {
  std::vector<Run> runs;
  for (const uint64_t number : blocks)
    if (!runs.empty() && runs.back().first + runs.back().second == number)
      ++runs.back().second;
    else
      runs.push_back({number, 1});
  return runs;
}

}  // namespace ovl
