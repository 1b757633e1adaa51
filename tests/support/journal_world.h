// SPDX-License-Identifier: BSD-3-Clause
//
// A device, a journal on it, and the log that reads it. For one thread.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "images/journal/committed_view.h"
#include "images/journal/journal_log.h"
#include "tests/support/journal_writer.h"

namespace ovl {

inline constexpr uint64_t kDeviceBlocks = 400;
inline constexpr uint64_t kJournalAt = 100;
inline constexpr uint32_t kJournalBlocks = 33;

inline std::vector<MappedRun> whole_runs() {
  return {{0, BlockNo{kJournalAt}, kJournalBlocks}};
}

// In three pieces, not in the order of the device.
inline std::vector<MappedRun> scattered_runs() {
  return {{0, BlockNo{200}, 5}, {5, BlockNo{150}, 9}, {14, BlockNo{300}, 19}};
}

class JournalWorld {
 public:
  explicit JournalWorld(JournalKind kind = {},
                        std::vector<MappedRun> runs = whole_runs())
      : device(kDeviceBlocks), journal(device, std::move(runs), kind) {
    journal.make_superblock();
  }

  // The log begins at the head, with the next transaction.
  void open() { journal.set_tail(journal.id, journal.head); }

  // A transaction of one block for each number.
  uint32_t write(std::vector<uint64_t> blocks,
                 std::vector<uint64_t> revoked = {}) {
    std::vector<JournalWrite> writes;
    for (const uint64_t block : blocks)
      writes.push_back({block, content(journal.id, block)});
    return journal.write(writes, revoked);
  }
  // Some begin with the magic number.
  static JournalBlock content(uint32_t id, uint64_t block) {
    return stamped_block(id * 1000 + block, (id + block) % 3 == 0);
  }

  Status advance() { return log.advance(device, journal.runs()); }
  int advance_code() {
    const Status status = advance();
    return status ? 0 : status.error().code();
  }
  std::string advance_error() {
    const Status status = advance();
    return status ? "" : status.error().what();
  }

  JournalBlock committed(uint64_t block) {
    JournalBlock found;
    EXPECT_TRUE(
        CommittedView(device, log).read(block * kBlockSize, found).has_value());
    return found;
  }
  bool shows(uint64_t block, uint32_t id) {
    return log.find(BlockNo{block}).has_value() &&
           committed(block) == content(id, block);
  }
  bool is_in_place(uint64_t block) { return !log.find(BlockNo{block}); }

  std::vector<uint64_t> touched() {
    std::vector<uint64_t> blocks;
    for (const BlockNo block : log.take_touched())
      blocks.push_back(to_int(block));
    return blocks;
  }

  JournalDevice device;
  JournalWriter journal;
  JournalLog log;
};

inline void flip(std::span<std::byte> block, size_t at) {
  block[at] ^= std::byte{0x10};
}

inline JournalKind kind_named(const std::string& name) {
  for (const JournalKind& kind : all_journal_kinds())
    if (kind.name == name)
      return kind;
  ADD_FAILURE() << name;
  return {};
}

inline std::vector<JournalKind> checked_kinds() {
  std::vector<JournalKind> kinds = all_journal_kinds();
  std::erase_if(kinds, [](const auto& kind) { return !kind.has_checksums(); });
  return kinds;
}

template <typename Info>
std::string name_of(const Info& test) {
  return test.param.name;
}

}  // namespace ovl
