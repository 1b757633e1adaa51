// SPDX-License-Identifier: BSD-3-Clause
//
// What a guest asked of its device, block by block, and so what the device may
// show: at any time, after a kill, and after a loss of power. Safe for
// concurrent use.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "tests/support/journaled_guest.h"

namespace ovl {

class GuestHistory {
 public:
  /// Begins with what the device shows, and with what is committed there.
  void begin(std::span<const std::byte> device, const JournalDevice& memory) {
    start_.assign(device.begin(), device.end());
    now_ = start_;
    committed_.assign(memory.bytes().begin(), memory.bytes().end());
    steps_.clear();
    acknowledged_ = 0;
    flushed_ = 0;
  }

  /// A request begins; another one ends before the next.
  void ask(size_t number, const GuestRequest& request) {
    const std::lock_guard lock(mutex_);
    for (uint64_t done = 0; done < request.bytes.size();) {
      const uint64_t at = request.offset + done;
      const uint64_t n = std::min<uint64_t>(request.bytes.size() - done,
                                            kBlockSize - at % kBlockSize);
      std::memcpy(&now_[at], &request.bytes[done], n);
      add(at / kBlockSize, number, request);
      done += n;
    }
  }
  void acknowledge(const GuestRequest& request) {
    const std::lock_guard lock(mutex_);
    acknowledged_ = steps_.size();
    if (request.kind == GuestRequest::Kind::kFlush)
      flushed_ = acknowledged_;
  }

  /// So many steps, a block each, were acknowledged, or flushed.
  uint64_t acknowledged() const {
    const std::lock_guard lock(mutex_);
    return acknowledged_;
  }
  uint64_t flushed() const {
    const std::lock_guard lock(mutex_);
    return flushed_;
  }

  /// May a read have found these bytes that began behind `acknowledged` steps?
  bool may_be(uint64_t block, std::span<const std::byte> bytes,
              uint64_t acknowledged) const {
    const std::lock_guard lock(mutex_);
    Shown shown{&start_[block * kBlockSize]};
    for (uint64_t i = 0; i < steps_.size(); ++i) {
      if (i >= acknowledged && shown.may_be(bytes))
        return true;
      shown.take(steps_[i], block);
    }
    return shown.may_be(bytes);
  }

  /// After how many steps the device is as it is, at least `least`: the most
  /// that fits.
  std::optional<uint64_t> find(std::span<const std::byte> device,
                               uint64_t least) const {
    std::vector<Shown> shown;
    std::set<uint64_t> others;  // blocks that are not as they were then
    const auto look = [&](uint64_t block) {
      if (shown[block].may_be(device.subspan(block * kBlockSize, kBlockSize)))
        others.erase(block);
      else
        others.insert(block);
    };
    for (uint64_t at = 0; at < start_.size(); at += kBlockSize) {
      shown.push_back({&start_[at]});
      look(at / kBlockSize);
    }
    std::optional<uint64_t> found;
    for (uint64_t n = 0;; ++n) {
      if (n >= least && others.empty())
        found = n;
      if (n == steps_.size())
        return found;
      for (const uint64_t block : steps_[n].touched()) {
        shown[block].take(steps_[n], block);
        look(block);
      }
    }
  }

  /// Only so many steps have been.
  void cut(uint64_t steps) {
    steps_.resize(steps);
    acknowledged_ = std::min(acknowledged_, steps);
    flushed_ = std::min(flushed_, steps);
    now_ = start_;
    for (const Step& step : steps_)
      std::ranges::copy(step.content,
                        now_.begin() + ptrdiff_t(step.block * kBlockSize));
  }
  /// The request that is not whole after so many steps; `all` if none is.
  size_t request_at(uint64_t steps, size_t all) const {
    return steps < steps_.size() ? steps_[steps].request : all;
  }

  /// Calls `visit` with the committed state before all steps, and after each
  /// that changed it, until it says true.
  template <typename Visit>
  bool visit_committed(Visit visit) const {
    JournalDevice state = committed_before();
    if (visit(state))
      return true;
    for (uint64_t n = 0; n < steps_.size(); ++n) {
      apply(steps_[n], state);
      if (!steps_[n].commits.empty() && visit(state))
        return true;
    }
    return false;
  }
  JournalDevice committed(uint64_t steps) const {
    JournalDevice state = committed_before();
    for (uint64_t n = 0; n < steps; ++n)
      apply(steps_[n], state);
    return state;
  }

 private:
  struct Step {
    uint64_t block = 0;
    JournalBlock content{};
    std::vector<JournalWrite> commits;
    std::set<uint64_t> frees;
    size_t request = 0;

    std::set<uint64_t> touched() const {
      std::set<uint64_t> blocks = frees;
      blocks.insert(block);
      return blocks;
    }
  };
  // A block. What is in no use may have become zeros.
  struct Shown {
    const std::byte* content = nullptr;
    bool is_free = false;

    bool may_be(std::span<const std::byte> bytes) const {
      return std::memcmp(bytes.data(), content, kBlockSize) == 0 ||
             (is_free &&
              std::ranges::count(bytes, std::byte{0}) == std::ssize(bytes));
    }
    void take(const Step& step, uint64_t block) {
      if (step.block == block)
        *this = {step.content.data()};
      is_free |= step.frees.contains(block);
    }
  };

  // Content counts with its block, a transaction with the commit's, its last.
  void add(uint64_t block, size_t number, const GuestRequest& request) {
    Step step{block, {}, {}, {}, number};
    std::memcpy(step.content.data(), &now_[block * kBlockSize], kBlockSize);
    const bool is_one = request.bytes.size() <= kBlockSize;
    for (const JournalWrite& one : request.commits)
      if (is_one || one.block == block)
        step.commits.push_back(one);
    if (is_one)
      step.frees = request.frees;
    steps_.push_back(std::move(step));
  }

  JournalDevice committed_before() const {
    JournalDevice state(committed_.size() / kBlockSize);
    std::ranges::copy(committed_, state.bytes().begin());
    return state;
  }
  static void apply(const Step& step, JournalDevice& state) {
    for (const JournalWrite& one : step.commits)
      std::ranges::copy(one.content, state.block(BlockNo{one.block}).begin());
  }

  mutable std::mutex mutex_;
  std::vector<std::byte> start_;
  std::vector<std::byte> now_;
  std::vector<std::byte> committed_;
  std::vector<Step> steps_;
  uint64_t acknowledged_ = 0;
  uint64_t flushed_ = 0;
};

}  // namespace ovl
