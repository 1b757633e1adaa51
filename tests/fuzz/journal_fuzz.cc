// SPDX-License-Identifier: BSD-3-Clause
//
// The reader of journals, over a device that the input describes. The input is
// a program: it writes blocks of every kind with numbers that it chooses, their
// checksums right or not, moves tails, changes formats and places, damages
// what is there, and has the log look in between. Whatever comes of it, a look
// reads every block of the journal about once, what it finds is in the journal,
// and stands for blocks that are not.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "images/journal/committed_view.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/journal_writer.h"

namespace {

using namespace ovl;  // NOLINT

constexpr uint64_t kDevice = 64;
constexpr uint64_t kJournal = 24;

using Input = FuzzInput;

std::vector<MappedRun> any_runs(Input& input) {
  if (input.byte() % 4 != 0)
    return {{0, BlockNo{32}, kJournal}};
  return {{0, BlockNo{40}, 9}, {9, BlockNo{3}, 8}, {17, BlockNo{20}, 7}};
}

class Program {
 public:
  explicit Program(Input& input)
      : input_(input),
        device_(kDevice),
        journal_(device_, any_runs(input), any_kind()) {
    journal_.set_tail(1, 1);
  }

  void run() {
    while (!input_.empty())
      step();
    look();
  }

 private:
  JournalKind any_kind() {
    static const std::vector<JournalKind> kKinds = all_journal_kinds();
    return kKinds[input_.byte() % kKinds.size()];
  }
  uint32_t any_position() {
    return static_cast<uint32_t>(1 + input_.byte() % (kJournal - 1));
  }
  uint64_t any_block() {
    return input_.byte() % 16 == 0 ? input_.number() : input_.byte() % 32;
  }

  JournalBlock any_content() {
    JournalBlock block;
    block.fill(std::byte{input_.byte()});
    if (input_.byte() < 64)
      store_be32(block, 0, 0xC03B3998);
    return block;
  }

  void step() {
    switch (input_.byte() % 12) {
      case 0:
      case 1:
        return describe();
      case 2:
        return revoke();
      case 3:
      case 4:
        journal_.commit();
        return;
      case 5:
        return move();
      case 6:
        return journal_.set_tail(static_cast<uint32_t>(input_.number()),
                                 any_position());
      case 7:
        return set_superblock();
      case 8:
        return damage();
      case 9:
        return renew();
      case 10:
        return copy();
      default:
        return look();
    }
  }

  void describe() {
    std::vector<JournalWrite> writes(1 + input_.byte() % 6);
    for (JournalWrite& write : writes)
      write = {any_block(), any_content()};
    journal_.has_last_tag = input_.byte() % 8 != 0;
    journal_.descriptor(writes);
  }

  void revoke() {
    std::vector<uint64_t> blocks(input_.byte() % 6);
    for (uint64_t& block : blocks)
      block = any_block();
    journal_.revoke(blocks);
  }

  void move() {
    if (input_.byte() % 2 == 0)
      journal_.head = any_position();
    else
      journal_.id = static_cast<uint32_t>(input_.number());
  }

  // A number of the superblock, which is sealed again, mostly.
  void set_superblock() {
    store_be32(journal_.block(0), input_.byte() % 64 * size_t{4},
               static_cast<uint32_t>(input_.number()));
    if (input_.byte() % 8 != 0)
      journal_.seal_superblock();
  }

  // A number of any block, which is sealed again as often as not.
  void damage() {
    const auto block = journal_.block(any_position());
    const size_t word = input_.byte();
    store_be32(block, word * 4, static_cast<uint32_t>(input_.number()));
    if (input_.byte() % 2 == 0)
      journal_.seal(block);
  }

  // Another format, or the whole journal anew.
  void renew() {
    journal_.set_kind(any_kind());
    if (input_.byte() % 4 == 0)
      journal_.uuid[0] = std::byte{input_.byte()};
    journal_.make_superblock();
  }

  // What was somewhere once is somewhere else.
  void copy() {
    const auto from = journal_.block(any_position());
    std::ranges::copy(from, journal_.block(any_position()).begin());
  }

  void look() {
    const uint64_t before = device_.reads();
    const bool has_advanced =
        log_.advance(device_, journal_.runs()).has_value();
    check(device_.reads() - before <= kJournal + 2);
    if (!has_advanced)
      return;
    check_touched();
    check_copies();
  }

  void check_touched() {
    uint64_t next = 0;
    for (const BlockNo block : log_.take_touched()) {
      check(to_int(block) >= next && to_int(block) < kDevice);
      next = to_int(block) + 1;
    }
  }

  void check_copies() {
    for (auto block = log_.next_copy(BlockNo{0}); block;
         block = log_.next_copy(BlockNo{to_int(*block) + 1})) {
      const auto copy = log_.find(*block);
      check(copy && !log_.is_empty() && to_int(*block) < kDevice);
      check(!is_journal(*block) && is_journal(copy->at));
      check_view(to_int(*block) * kBlockSize, copy->is_escaped);
    }
  }
  // Over the block's end, as far as there is a device.
  void check_view(uint64_t offset, bool has_magic) {
    const CommittedView view(device_, log_);
    std::array<std::byte, 8> bytes;
    check(view.read(offset, bytes).has_value());
    check(!has_magic || load_be32(bytes, 0) == 0xC03B3998);
    const uint64_t end = std::min(offset + kBlockSize + 4, view.size());
    check(view.read(end - bytes.size(), bytes).has_value());
  }
  bool is_journal(BlockNo block) const {
    for (const MappedRun& run : journal_.runs())
      if (to_int(block) - to_int(run.device) < run.count)
        return true;
    return false;
  }

  Input& input_;
  JournalDevice device_;
  JournalWriter journal_;
  JournalLog log_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Program(input).run();
  return 0;
}
