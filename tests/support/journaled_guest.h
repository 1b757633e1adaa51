// SPDX-License-Identifier: BSD-3-Clause
//
// A guest without a kernel that has a file system mounted with a journal, in
// ordered mode, as far as a device can tell: content in place, metadata in
// transactions, revoked where it must be, freed blocks discarded. It does
// nothing to a device itself: what it would ask of one is made out first, for
// a test to do when it likes. For one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/support/journal_writer.h"
#include "tests/support/nbd_guest_fs.h"

namespace ovl {

struct GuestRequest {
  enum class Kind { kWrite, kZero, kFlush };
  Kind kind = Kind::kFlush;
  uint64_t offset = 0;
  std::vector<std::byte> bytes = {};  // zeros for kZero
  /// Blocks of the committed state that are others from then on. It is shown as
  /// that of a file system which is not mounted.
  std::vector<JournalWrite> commits = {};
  /// Blocks that are in no use from then on, until they are written.
  std::set<uint64_t> frees = {};
};

class JournaledGuest {
 public:
  using Requests = std::vector<GuestRequest>;

  /// Mounts what `device` holds, which is clean; it may go then.
  static Result<std::unique_ptr<JournaledGuest>> mount(
      const BlockSource& device);

  /// One transaction. Not flushed.
  Status work(const std::function<Status(GuestFs&)>& work);
  void flush() { requests_.push_back({}); }
  /// Writes what is in the journal in place, and leaves the journal empty.
  void write_home();
  void unmount();
  void mount_again();

  /// All that came since the last call.
  Requests take_requests() { return std::exchange(requests_, {}); }

  /// What the device shows when all is done that was asked.
  const JournalDevice& disk() const { return disk_; }
  /// The file system as the guest has it in its memory, all of it committed.
  const JournalDevice& memory() const { return memory_; }

 private:
  using Blocks = std::set<uint64_t>;
  using Run = std::pair<uint64_t, uint64_t>;  // first, count

  explicit JournaledGuest(const BlockSource& device)
      : disk_(device.size() / kBlockSize),
        memory_(device.size() / kBlockSize) {}

  Status find_journal();
  Status change_memory(const std::function<Status(GuestFs&)>& work);
  Status note_use(const GuestFs& fs);
  void forget_unused();
  JournalBlock block_of(uint64_t number) const;
  JournalBlock as_mounted(uint64_t number) const;

  void write_content();
  GuestRequest& write_run(uint64_t first, uint64_t count);
  void write_half(uint64_t number, size_t half);
  void write_transaction();
  void discard();
  std::vector<uint64_t> revoked() const;
  void write_positions(uint32_t from, uint32_t count);
  void write_blocks(const Blocks& blocks);
  void write_superblock(bool is_mounted);
  void write_journal_superblock();
  GuestRequest& write(uint64_t offset, std::span<const std::byte> bytes);
  static std::vector<Run> runs_of(const Blocks& blocks);

  JournalDevice disk_;    // all bytes as they were asked to be
  JournalDevice memory_;  // without the flag that says "mounted"
  std::unique_ptr<JournalWriter> journal_;
  Blocks in_journal_;  // and perhaps not in place
  Requests requests_;

  // Of the transaction in the making.
  std::map<uint64_t, JournalBlock> before_;  // blocks that it changes
  Blocks used_;
  Blocks content_;  // of regular files
  Blocks freed_;
  std::vector<JournalWrite> later_;  // of content that shows with the commit
};

}  // namespace ovl
