// SPDX-License-Identifier: BSD-3-Clause
//
// e2fsck carries out the journal of an image: every block then is what the
// committed view showed before. The journals are written by debugfs, in the
// formats that it knows, and by our own writer in all of them, wraps included.
#include <ext2fs/ext2fs.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/journal/committed_view.h"
#include "tests/support/image_file.h"
#include "tests/support/journal_writer.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint64_t kBlocks = 6144;
constexpr uint64_t kFree = 4000;  // nothing of the file system is behind it

class JournaledImage {
 public:
  explicit JournaledImage(const std::string& features) {
    run(fmt::format("mke2fs -q -F -t ext4 -b 4096 -J size=4 -O {} {} {}",
                    features, path_, kBlocks));
    map_journal();
    load();
  }

  const std::vector<MappedRun>& runs() const { return runs_; }
  JournalDevice& device() { return device_; }
  std::string file(const std::string& name) const { return dir_.path(name); }

  void debugfs(const std::vector<std::string>& commands) {
    std::ofstream script(file("script"));
    for (const std::string& command : commands)
      script << command << "\n";
    script.close();
    run(fmt::format("debugfs -w -f {} {}", file("script"), path_));
    load();
  }

  /// What was done to device() is in the image.
  void save() {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(device_.bytes().data()),
               static_cast<std::streamsize>(device_.size()));
  }

  /// e2fsck's idea of what the journal says. The superblocks aside, which it
  /// changes by itself.
  void expect_replay_shows(const BlockSource& view) {
    std::vector<std::byte> shown(device_.size());
    ASSERT_TRUE(view.read(0, shown).has_value());
    const ProgramResult result =
        run_program("e2fsck -y -E journal_only " + path_);
    ASSERT_EQ(result.status, 0) << result.output;
    ASSERT_THAT(result.output, testing::HasSubstr("recovering journal"));
    load();
    for (uint64_t block = 1; block < kBlocks; ++block) {
      const auto expected =
          std::span(shown).subspan(block * kBlockSize, kBlockSize);
      if (BlockNo{block} == runs_[0].device)
        continue;
      ASSERT_TRUE(std::ranges::equal(device_.block(BlockNo{block}), expected))
          << block;
    }
  }

 private:
  static void run(const std::string& command) {
    const ProgramResult result = run_program(command);
    ASSERT_EQ(result.status, 0) << command << "\n" << result.output;
  }

  void load() {
    std::ifstream(path_, std::ios::binary)
        .read(reinterpret_cast<char*>(device_.bytes().data()),
              static_cast<std::streamsize>(device_.size()));
  }

  void map_journal() {
    ext2_filsys fs = nullptr;
    ASSERT_EQ(ext2fs_open(path_.c_str(), EXT2_FLAG_64BITS, 0, 0,
                          unix_io_manager, &fs),
              0);
    for (uint64_t block = 0; block < 1024; ++block) {
      blk64_t at = 0;
      ASSERT_EQ(ext2fs_bmap2(fs, EXT2_JOURNAL_INO, nullptr, nullptr, 0, block,
                             nullptr, &at),
                0);
      if (runs_.empty() ||
          to_int(runs_.back().device) + runs_.back().count != at)
        runs_.push_back({block, BlockNo{at}, 0});
      ++runs_.back().count;
    }
    ext2fs_close_free(&fs);
  }

  TempDir dir_;
  std::string path_ = dir_.path("image");
  std::vector<MappedRun> runs_;
  JournalDevice device_{kBlocks};
};

// Blocks that nothing else is in, some of them often.
uint64_t any_block(std::mt19937_64& random) {
  return kFree + random() % 60 * 7;
}

struct DebugfsJournal {
  std::string name;
  std::string features;
  std::string open;
  uint32_t compat = 0;    // what the journal's superblock
  uint32_t incompat = 0;  // then says
  // debugfs lets the checksums of version 1 cover them, unlike the kernel and
  // e2fsck.
  bool has_revocations = true;
};

class JournalOfDebugfs : public ::testing::TestWithParam<DebugfsJournal> {};

INSTANTIATE_TEST_SUITE_P(
    All, JournalOfDebugfs,
    ::testing::ValuesIn(std::vector<DebugfsJournal>{
        {"Plain32", "^metadata_csum,^64bit", "jo", 0, 0x1},
        {"Plain64", "^metadata_csum,64bit", "jo", 0, 0x3},
        {"V1of32", "^metadata_csum,^64bit", "jo -c", 1, 0x0, false},
        {"V1of64", "^metadata_csum,64bit", "jo -c", 1, 0x2, false},
        {"V2of32", "metadata_csum,^64bit", "jo -c -v 2", 0, 0x9},
        {"V2of64", "metadata_csum,64bit", "jo -c -v 2", 0, 0xb},
        {"V3of32", "metadata_csum,^64bit", "jo -c -v 3", 0, 0x11},
        {"V3of64", "metadata_csum,64bit", "jo -c -v 3", 0, 0x13}}),
    [](const auto& test) { return test.param.name; });

std::string list(const std::set<uint64_t>& blocks) {
  return fmt::format("{}", fmt::join(blocks, ","));
}

std::set<uint64_t> any_blocks(std::mt19937_64& random, size_t most) {
  std::set<uint64_t> blocks;
  for (uint64_t i = 1 + random() % most; i > 0; --i)
    blocks.insert(any_block(random));
  return blocks;
}

// The command for a transaction of blocks with any content.
std::string any_write(const std::string& file, std::mt19937_64& random) {
  const std::set<uint64_t> blocks = any_blocks(random, 9);
  std::ofstream data(file, std::ios::binary);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const JournalBlock block = stamped_block(random(), random() % 4 == 0);
    data.write(reinterpret_cast<const char*>(block.data()), kBlockSize);
  }
  return fmt::format("-b {} {}", list(blocks), file);
}

// Transactions as commands, the last one not committed.
std::vector<std::string> any_commands(const JournaledImage& image,
                                      const DebugfsJournal& journal) {
  std::mt19937_64 random(11);
  std::vector<std::string> commands{journal.open};
  for (int n = 1; n <= 25; ++n) {
    const std::string options = n == 25 ? "jw -c " : "jw ";
    if (n % 3 == 0 && journal.has_revocations)
      commands.push_back(options + "-r " + list(any_blocks(random, 20)));
    else
      commands.push_back(
          options + any_write(image.file(fmt::format("data{}", n)), random));
  }
  commands.push_back("jc");
  return commands;
}

TEST_P(JournalOfDebugfs, IsReplayedAsItIsShown) {
  JournaledImage image(GetParam().features);
  image.debugfs(any_commands(image, GetParam()));
  const auto super = image.device().block(image.runs()[0].device);
  EXPECT_EQ(load_be32(super, 0x24), GetParam().compat);
  EXPECT_EQ(load_be32(super, 0x28), GetParam().incompat);
  JournalLog log;
  const Status status = log.advance(image.device(), image.runs());
  ASSERT_TRUE(status.has_value()) << status.error().what();
  EXPECT_EQ(log.last_transaction(), 24U);
  EXPECT_TRUE(log.next_copy(BlockNo{0}).has_value());
  image.expect_replay_shows(CommittedView(image.device(), log));
}

class JournalOfOurs : public ::testing::TestWithParam<JournalKind> {};

INSTANTIATE_TEST_SUITE_P(All, JournalOfOurs,
                         ::testing::ValuesIn(all_journal_kinds()),
                         [](const auto& test) { return test.param.name; });

uint32_t write_any_transaction(JournalWriter& journal,
                               std::mt19937_64& random) {
  const uint32_t first = journal.head;
  for (uint64_t parts = random() % 4; parts > 0; --parts) {
    std::vector<uint64_t> blocks(1 + random() % 8);
    for (uint64_t& block : blocks)
      block = any_block(random);
    if (random() % 4 == 0) {
      journal.revoke(blocks);
      continue;
    }
    std::vector<JournalWrite> writes;
    for (const uint64_t block : blocks)
      writes.push_back({block, stamped_block(random(), random() % 4 == 0)});
    journal.descriptor(writes);
  }
  journal.commit();
  return first;
}

TEST_P(JournalOfOurs, IsReplayedAsItIsShown) {
  const std::string bits = GetParam().is_64bit() ? "64bit" : "^64bit";
  JournaledImage image("^metadata_csum," + bits);
  std::mt19937_64 random(12);
  JournalWriter journal(image.device(), image.runs(), GetParam());
  image.debugfs({"feature needs_recovery"});
  journal.head = 900;
  journal.id = 0xfffffff0;
  for (int n = 0; n < 50; ++n) {
    const uint32_t first = write_any_transaction(journal, random);
    if (n == 5)
      journal.set_tail(journal.id - 1, first);
  }
  journal.descriptor(std::vector<JournalWrite>{{kFree, stamped_block(1)}});
  EXPECT_LT(journal.head, 900U);
  image.save();
  JournalLog log;
  const Status status = log.advance(image.device(), image.runs());
  ASSERT_TRUE(status.has_value()) << status.error().what();
  EXPECT_EQ(log.last_transaction(), journal.id - 1);
  image.expect_replay_shows(CommittedView(image.device(), log));
}

}  // namespace
}  // namespace ovl
