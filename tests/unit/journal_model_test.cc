// SPDX-License-Identifier: BSD-3-Clause
//
// A guest that commits, revokes, writes data in place, checkpoints, empties
// its journal, leaves transactions torn, at random. A plain map knows what is
// committed; after each look at the journal every block of the view is that,
// a log that looks for the first time agrees, and what was touched has every
// block whose copy is another one than before.
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/journal/committed_view.h"
#include "tests/support/journal_writer.h"

namespace ovl {
namespace {

constexpr uint64_t kDataBlocks = 40;
constexpr uint64_t kDeviceBlocks = 140;
constexpr uint32_t kLargest = 12;  // blocks of a transaction

class RandomGuest {
 public:
  RandomGuest(uint64_t seed, const JournalKind& kind)
      : random_(seed), device_(kDeviceBlocks), journal_(device_, runs(), kind) {
    journal_.head = pick(1, journal_.end - 1);
    journal_.id = static_cast<uint32_t>(0 - pick(1, 300));
    for (uint64_t block = 0; block < kDataBlocks; ++block)
      write_data(block);
    empty();
  }

  void step() {
    if (torn_)
      return go_on_from_torn();
    const uint64_t choice = pick(0, 99);
    if (choice < 45)
      commit_transaction();
    else if (choice < 55)
      leave_torn();
    else if (choice < 75)
      write_some_data();
    else if (choice < 88)
      write_back_some();
    else if (choice < 97)
      move_tail();
    else
      empty();
  }

  // What is wrong, when the log is made to look.
  std::string look() {
    const auto before = copies();
    const Status status = log_.advance(device_, journal_.runs());
    if (!status)
      return status.error().what();
    const std::vector<BlockNo> touched = log_.take_touched();
    const auto after = copies();
    for (uint64_t block = 0; block < kDataBlocks; ++block)
      if (copy_in(before, block) != copy_in(after, block) &&
          !std::ranges::binary_search(touched, BlockNo{block}))
        return fmt::format("block {} was not touched", block);
    const std::string wrong = compare_view();
    return wrong.empty() ? compare_with_new() : wrong;
  }

 private:
  struct Live {
    uint32_t id = 0;
    uint32_t first = 0;
    uint32_t blocks = 0;
    std::set<uint64_t> named;
  };
  struct Torn {
    Live live;
    std::vector<JournalWrite> writes;
    uint32_t missing = 0;  // where the copy belongs that is missing, if any
    JournalBlock copy{};
  };
  using Copies = std::map<uint64_t, std::tuple<uint64_t, bool, JournalBlock>>;

  std::vector<MappedRun> runs() {
    std::vector<MappedRun> made;
    uint64_t file_block = 0;
    for (const uint64_t at : {100U, 41U, 80U}) {
      made.push_back({file_block, BlockNo{at}, pick(4, 16)});
      file_block += made.back().count;
    }
    return made;
  }

  uint32_t pick(uint64_t low, uint64_t high) {
    return static_cast<uint32_t>(low + random_() % (high - low + 1));
  }
  JournalBlock new_content() {
    return stamped_block(++stamp_, pick(0, 3) == 0);
  }

  uint32_t free_blocks() const {
    uint32_t used = 0;
    for (const Live& live : live_)
      used += live.blocks;
    return journal_.ring() - used;
  }

  // Room for a transaction, and for a torn one behind it.
  bool make_room() {
    while (free_blocks() <= 2 * kLargest && !live_.empty())
      move_tail();
    return free_blocks() > kLargest;
  }

  std::vector<JournalWrite> new_writes(size_t most) {
    std::vector<JournalWrite> writes(pick(0, most));
    for (JournalWrite& write : writes)
      write = {pick(0, kDataBlocks - 1), new_content()};
    return writes;
  }

  void commit_transaction() {
    if (!make_room())
      return;
    if (log_is_empty_)
      open();
    Live live{journal_.id, journal_.head, 1, {}};
    std::set<uint64_t> revoked;
    const uint64_t parts = pick(0, 3);
    for (uint64_t i = 0; i < parts; ++i)
      if (pick(0, 2) == 0)
        live.blocks += revoke_some(revoked);
      else
        live.blocks += name_some(live);
    journal_.commit();
    for (const uint64_t block : revoked)
      in_log_.erase(block);
    live_.push_back(live);
    // A revoked block was freed: it may be a file's from here on.
    for (const uint64_t block : revoked)
      if (pick(0, 1) == 0)
        write_data(block);
  }

  uint32_t name_some(Live& live) {
    const std::vector<JournalWrite> writes = new_writes(2);
    if (writes.empty())
      return 0;
    journal_.descriptor(writes);
    for (const JournalWrite& write : writes) {
      in_log_[write.block] = write.content;
      live.named.insert(write.block);
    }
    return static_cast<uint32_t>(1 + writes.size());
  }

  uint32_t revoke_some(std::set<uint64_t>& revoked) {
    std::vector<uint64_t> blocks(pick(1, 5));
    for (uint64_t& block : blocks)
      revoked.insert(block = pick(0, kDataBlocks - 1));
    journal_.revoke(blocks);
    return 1;
  }

  // A transaction as far as it got: without its commit block, or with it, but
  // without a copy, which the checksums tell.
  void leave_torn() {
    if (!make_room() || log_is_empty_)
      return;
    Torn torn{{journal_.id, journal_.head, 1, {}}, {}, 0, {}};
    while (torn.writes.empty())
      torn.writes = new_writes(3);
    torn.live.blocks += static_cast<uint32_t>(1 + torn.writes.size());
    for (const JournalWrite& write : torn.writes)
      torn.live.named.insert(write.block);
    journal_.descriptor(torn.writes);
    torn.missing = torn.live.first + 1 == journal_.end ? journal_.first
                                                       : torn.live.first + 1;
    if (journal_.kind().has_checksums() && pick(0, 1) == 0) {
      std::ranges::copy(journal_.block(torn.missing), torn.copy.begin());
      std::ranges::copy(new_content(), journal_.block(torn.missing).begin());
      journal_.commit();
      --journal_.id;
    }
    torn_ = torn;
  }

  // What was missing arrives, or the guest starts again: it replays its journal
  // and leaves out a number.
  void go_on_from_torn() {
    const Torn torn = std::move(*torn_);
    torn_.reset();
    if (pick(0, 1) == 0) {
      journal_.abandon();
      empty();
      ++journal_.id;
      journal_.set_tail(journal_.id, 0);
      return;
    }
    if (torn.copy == JournalBlock{})
      journal_.commit();
    else
      std::ranges::copy(torn.copy, journal_.block(torn.missing).begin());
    journal_.id = torn.live.id + 1;
    for (const JournalWrite& write : torn.writes)
      in_log_[write.block] = write.content;
    live_.push_back(torn.live);
  }

  // Data goes in place, where no copy counts.
  void write_some_data() {
    for (uint64_t i = pick(1, 6); i > 0; --i) {
      const uint64_t block = pick(0, kDataBlocks - 1);
      if (!in_log_.contains(block))
        write_data(block);
    }
  }
  void write_data(uint64_t block) { put(block, new_content()); }
  void put(uint64_t block, const JournalBlock& content) {
    std::ranges::copy(content, device_.block(BlockNo{block}).begin());
  }

  void write_back(uint64_t block) {
    const auto at = in_log_.find(block);
    if (at != in_log_.end())
      put(block, at->second);
  }
  void write_back_some() {
    for (uint64_t i = pick(1, 10); i > 0; --i)
      write_back(pick(0, kDataBlocks - 1));
  }

  // The earliest transactions are in place, then leave the log.
  void move_tail() {
    if (live_.empty())
      return;
    for (uint64_t i = pick(1, live_.size()); i > 0; --i)
      forget_earliest();
    if (live_.empty())
      journal_.set_tail(journal_.id, journal_.head);
    else
      journal_.set_tail(live_.front().id, live_.front().first);
  }

  void forget_earliest() {
    const std::set<uint64_t> named = live_.front().named;
    live_.erase(live_.begin());
    for (const uint64_t block : named) {
      write_back(block);
      const auto names_it = [&](const Live& live) {
        return live.named.contains(block);
      };
      if (std::ranges::none_of(live_, names_it))
        in_log_.erase(block);
    }
  }

  void empty() {
    while (!live_.empty())
      forget_earliest();
    journal_.id += pick(0, 1);
    if (pick(0, 1) == 0)
      journal_.head = pick(1, journal_.end - 1);
    journal_.set_tail(journal_.id, 0);
    log_is_empty_ = true;
  }
  void open() {
    journal_.set_tail(journal_.id, journal_.head);
    log_is_empty_ = false;
  }

  static Copies::mapped_type copy_in(const Copies& copies, uint64_t block) {
    const auto at = copies.find(block);
    return at == copies.end() ? Copies::mapped_type() : at->second;
  }
  Copies copies() const { return copies_of(log_); }
  Copies copies_of(const JournalLog& log) const {
    Copies found;
    for (auto block = log.next_copy(BlockNo{0}); block;
         block = log.next_copy(BlockNo{to_int(*block) + 1})) {
      const auto copy = log.find(*block);
      JournalBlock content;
      std::ranges::copy(
          device_.bytes().subspan(to_int(copy->at) * kBlockSize, kBlockSize),
          content.begin());
      found[to_int(*block)] = {to_int(copy->at), copy->is_escaped, content};
    }
    return found;
  }

  std::string compare_view() {
    const CommittedView view(device_, log_);
    for (uint64_t block = 0; block < kDataBlocks; ++block) {
      JournalBlock shown;
      JournalBlock expected;
      std::ranges::copy(device_.block(BlockNo{block}), expected.begin());
      if (in_log_.contains(block))
        expected = in_log_[block];
      if (!view.read(block * kBlockSize, shown) || shown != expected)
        return fmt::format("block {} is not what was committed", block);
    }
    if (log_.is_empty() != log_is_empty_)
      return "the log is not empty, or is";
    return log_.last_transaction() == journal_.id - 1 ? "" : "the last number";
  }

  std::string compare_with_new() {
    JournalLog fresh;
    const Status status = fresh.advance(device_, journal_.runs());
    if (!status)
      return status.error().what();
    if (fresh.last_transaction() != log_.last_transaction())
      return "a new log has another last transaction";
    return copies_of(fresh) == copies() ? "" : "a new log has other copies";
  }

  std::mt19937_64 random_;
  uint64_t stamp_ = 0;
  JournalDevice device_;
  JournalWriter journal_;
  bool log_is_empty_ = true;
  std::vector<Live> live_;                   // from the tail on
  std::optional<Torn> torn_;                 // behind them
  std::map<uint64_t, JournalBlock> in_log_;  // the copies that count
  JournalLog log_;
};

class JournalModel : public ::testing::TestWithParam<JournalKind> {
 protected:
  static void run(uint64_t seed) {
    RandomGuest guest(seed, GetParam());
    std::mt19937_64 random(seed);
    for (int step = 0; step < 400; ++step) {
      guest.step();
      if (random() % 3 != 0)
        continue;
      ASSERT_EQ(guest.look(), "") << "seed " << seed << ", step " << step;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(All, JournalModel,
                         ::testing::ValuesIn(all_journal_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST_P(JournalModel, FixedSeeds) {
  for (uint64_t seed = 1; seed <= 8; ++seed)
    ASSERT_NO_FATAL_FAILURE(run(seed));
}

TEST_P(JournalModel, AFreshSeed) {
  const uint64_t seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  fmt::print("seed {}\n", seed);
  run(seed);
}

}  // namespace
}  // namespace ovl
