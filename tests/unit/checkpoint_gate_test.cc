// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/checkpoint_gate.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ovl {
namespace {

TEST(CheckpointGate, OneCheckpointServesAllThatWait) {
  CheckpointGate gate;
  std::vector<std::thread> waiting;
  for (uint64_t i = 1; i <= 4; ++i) {
    ASSERT_TRUE(gate.enter());
    waiting.emplace_back([&gate, i] { gate.wait(Position{i}); });
  }
  EXPECT_TRUE(gate.is_awaited());
  gate.note_tried(Position{4});
  for (std::thread& thread : waiting)
    thread.join();
  EXPECT_FALSE(gate.is_awaited());
}

TEST(CheckpointGate, OnlySoManyWait) {
  CheckpointGate gate;
  for (int i = 0; i < CheckpointGate::kMostWaiting; ++i)
    ASSERT_TRUE(gate.enter());
  EXPECT_FALSE(gate.enter());
  gate.note_tried(Position{1});
  gate.wait(Position{1});
  EXPECT_TRUE(gate.enter());
}

TEST(CheckpointGate, AnEarlierCheckpointIsNotEnough) {
  CheckpointGate gate;
  ASSERT_TRUE(gate.enter());
  std::thread waiting([&gate] { gate.wait(Position{7}); });
  gate.note_tried(Position{6});
  EXPECT_TRUE(gate.is_awaited());
  gate.note_tried(Position{8});
  gate.note_tried(Position{3});
  waiting.join();
}

}  // namespace
}  // namespace ovl
