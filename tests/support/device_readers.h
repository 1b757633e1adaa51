// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/device/device.h"
#include "tests/support/guest_history.h"
#include "tests/support/side_thread.h"

namespace ovl {

/// Reads blocks of a device, and notes what is not as its guest has it. A read
/// that has to wait for who looks ends when it can; others go on with the rest.
class DeviceReaders {
 public:
  /// `history` outlives it.
  explicit DeviceReaders(const GuestHistory& history) : history_(history) {}

  void add(uint64_t block) { blocks_.insert(block); }

  /// Looks at all blocks but those that a read still waits for.
  void look(Device& device) {
    {
      const std::lock_guard lock(mutex_);
      left_ = blocks_;
      for (const uint64_t block : being_read_)
        left_.erase(block);
    }
    for (size_t i = 0; i < kMost; ++i) {
      SideThread& reader = thread(i);
      if (!reader.is_idle())
        continue;
      reader.give([this, &device] { look_at_all(device); });
      if (reader.settle())
        return;
    }
  }
  /// What was wrong since. REQUIRES: nobody holds a lock that a read needs.
  std::string finish() {
    for (const auto& thread : threads_)
      thread->finish();
    return std::exchange(trouble_, "");
  }

 private:
  static constexpr size_t kMost = 8;

  SideThread& thread(size_t number) {
    while (threads_.size() <= number)
      threads_.push_back(std::make_unique<SideThread>());
    return *threads_[number];
  }

  void look_at_all(Device& device) {
    std::unique_lock lock(mutex_);
    while (!left_.empty()) {
      const uint64_t block = *left_.begin();
      left_.erase(block);
      being_read_.insert(block);
      lock.unlock();
      const std::string found = look_at(device, block);
      lock.lock();
      being_read_.erase(block);
      if (!found.empty())
        trouble_ += "block " + std::to_string(block) + ": " + found + "\n";
    }
  }
  std::string look_at(Device& device, uint64_t block) const {
    std::array<std::byte, kBlockSize> bytes;
    const uint64_t acknowledged = history_.acknowledged();
    const auto read = device.read(block * kBlockSize, bytes);
    if (!read)
      return read.error().what();
    return history_.may_be(block, bytes, acknowledged) ? "" : "is another";
  }

  const GuestHistory& history_;
  std::set<uint64_t> blocks_;
  std::mutex mutex_;
  std::set<uint64_t> left_;
  std::set<uint64_t> being_read_;
  std::string trouble_;
  std::vector<std::unique_ptr<SideThread>> threads_;
};

}  // namespace ovl
