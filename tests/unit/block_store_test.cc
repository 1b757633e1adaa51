// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/block_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

constexpr BaseIdentity kBase{1 << 20, 0x1234};

std::vector<std::byte> blocks(size_t count, char fill) {
  return std::vector<std::byte>(count * kBlockSize,
                                static_cast<std::byte>(fill));
}

class BlockStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlockStore> create() {
    auto store = BlockStore::create(host_os(), dir_.get(), kBase);
    EXPECT_TRUE(store) << store.error().what();
    return std::move(*store);
  }
  auto open(const BaseIdentity& base = kBase) {
    return BlockStore::open(host_os(), dir_.get(), base);
  }
  std::vector<std::byte> read(const BlockStore& store, uint64_t block) {
    std::vector<std::byte> bytes(kBlockSize);
    EXPECT_TRUE(store.read(block * kBlockSize, bytes));
    return bytes;
  }
  void put_header(const std::string& text) {
    std::ofstream(temp_.path("state")) << text;
  }

  TempDir temp_;
  Fd dir_ = open_dir(temp_.path());
};

TEST_F(BlockStoreTest, HoldsWhatWasWritten) {
  auto store = create();
  ASSERT_TRUE(store->write(BlockNo{3}, blocks(2, 'a')));
  EXPECT_FALSE(store->written().test(BlockNo{2}));
  EXPECT_TRUE(store->written().test(BlockNo{4}));
  EXPECT_FALSE(store->written().test(BlockNo{5}));
  EXPECT_EQ(read(*store, 4), blocks(1, 'a'));
  EXPECT_EQ(store->written().count(), 2U);
}

TEST_F(BlockStoreTest, ZeroedBlocksAreWrittenAndReadAsZeros) {
  auto store = create();
  ASSERT_TRUE(store->write(BlockNo{3}, blocks(1, 'a')));
  ASSERT_TRUE(store->zero(BlockNo{2}, 3));
  EXPECT_TRUE(store->written().test(BlockNo{2}));
  EXPECT_EQ(read(*store, 3), blocks(1, '\0'));
}

TEST_F(BlockStoreTest, SurvivesBeingOpenedAgain) {
  ASSERT_TRUE(create()->write(BlockNo{7}, blocks(1, 'b')));
  auto store = open();
  ASSERT_TRUE(store) << store.error().what();
  EXPECT_EQ((*store)->written().count(), 1U);
  EXPECT_EQ(read(**store, 7), blocks(1, 'b'));
}

TEST_F(BlockStoreTest, NoStoreIsENOENT) {
  EXPECT_EQ(open().error().code(), ENOENT);
}

TEST_F(BlockStoreTest, AnotherBaseIsRefused) {
  create();
  EXPECT_EQ(open({kBase.size, kBase.fingerprint + 1}).error().code(), ESTALE);
  EXPECT_EQ(open({kBase.size * 2, kBase.fingerprint}).error().code(), ESTALE);
}

TEST_F(BlockStoreTest, InterruptedWriteBackIsRefused) {
  ASSERT_TRUE(create()->set_phase(BlockStore::Phase::kPublishing));
  EXPECT_EQ(open().error().code(), EUCLEAN);
}

TEST_F(BlockStoreTest, UnknownHeaderIsRefusedAndNothingTouched) {
  for (const char* text :
       {"", "ovl-store 2\nsize 1048576\nfingerprint 0000000000001234\n",
        "ovl-store 1\nsize 1048576\nfingerprint 0000000000001234\n",
        "ovl-store 1\nsize 1048576\nfingerprint 0000000000001234\nphase x\n",
        "ovl-store 1\nsize 1048576\nfingerprint 0000000000001234\n"
        "phase writing\nmore\n"}) {
    put_header(text);
    EXPECT_EQ(open().error().code(), EPROTO) << text;
    EXPECT_TRUE(std::filesystem::exists(temp_.path("state")));
  }
}

TEST_F(BlockStoreTest, DiscardLeavesNothing) {
  auto store = create();
  ASSERT_TRUE(store->write(BlockNo{0}, blocks(1, 'c')));
  ASSERT_TRUE(BlockStore::discard(host_os(), dir_.get()));
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path()));
}

TEST_F(BlockStoreTest, FailedFlushFailsForEver) {
  class FailingOs : public WrapOs {
   public:
    bool fails = false;
    Status fdatasync(int fd) override {
      return fails ? fail(EIO, "told to fail") : WrapOs::fdatasync(fd);
    }
  };
  FailingOs os;
  auto store = *BlockStore::create(os, dir_.get(), kBase);
  ASSERT_TRUE(store->write(BlockNo{0}, blocks(1, 'd')));
  os.fails = true;
  EXPECT_FALSE(store->flush());
  os.fails = false;
  EXPECT_FALSE(store->flush());
}

TEST(WrittenMapTest, RunsEndWhereTheStateChanges) {
  const TempDir temp;
  const Fd dir = open_dir(temp.path());
  auto store = *BlockStore::create(host_os(), dir.get(), {1 << 30, 1});
  const uint64_t total = (1 << 30) / kBlockSize;
  ASSERT_TRUE(store->zero(BlockNo{60}, 1000));
  const WrittenMap& map = store->written();
  EXPECT_EQ(map.run_length(BlockNo{0}, total), 60U);
  EXPECT_EQ(map.run_length(BlockNo{60}, total), 1000U);
  EXPECT_EQ(map.run_length(BlockNo{100}, 10), 10U);
  EXPECT_EQ(map.run_length(BlockNo{1060}, total - 1060), total - 1060);
  EXPECT_TRUE(map.any(BlockNo{0}, 61));
  EXPECT_FALSE(map.any(BlockNo{0}, 60));
  EXPECT_FALSE(map.any(BlockNo{1060}, total - 1060));
}

}  // namespace
}  // namespace ovl
