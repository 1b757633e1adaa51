// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/written_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>

namespace ovl {
namespace {

constexpr uint64_t kBits = 64;
constexpr uint64_t kPage = 4096;

using AtomicWord = std::atomic_ref<uint64_t>;

// The bits of word `word` that lie in [first, end).
uint64_t mask_in(uint64_t word, uint64_t first, uint64_t end) {
  uint64_t mask = ~uint64_t{0};
  if (first > word * kBits)
    mask &= ~uint64_t{0} << (first - word * kBits);
  if (end < (word + 1) * kBits)
    mask &= ~(~uint64_t{0} << (end - word * kBits));
  return mask;
}

}  // namespace

uint64_t WrittenMap::file_size(uint64_t blocks) {
  const uint64_t bytes = (blocks + kBits - 1) / kBits * sizeof(uint64_t);
  return (bytes + kPage - 1) / kPage * kPage;
}

Result<std::unique_ptr<WrittenMap>> WrittenMap::map(const Fd& file,
                                                    uint64_t blocks) {
  void* words = ::mmap(nullptr, file_size(blocks), PROT_READ | PROT_WRITE,
                       MAP_SHARED, file.get(), 0);
  if (words == MAP_FAILED)
    return last_error("mmap");
  return std::unique_ptr<WrittenMap>(
      new WrittenMap(static_cast<uint64_t*>(words), blocks));
}

WrittenMap::~WrittenMap() {
  ::munmap(words_, file_size(blocks_));
}

bool WrittenMap::test(BlockNo block) const {
  const uint64_t word = to_int(block) / kBits;
  return AtomicWord(words_[word]).load(std::memory_order_acquire) >>
             (to_int(block) % kBits) &
         1;
}

void WrittenMap::set(BlockNo first, uint64_t count) {
  const uint64_t begin = to_int(first);
  const uint64_t end = begin + count;
  for (uint64_t word = begin / kBits; word * kBits < end; ++word) {
    const uint64_t mask = mask_in(word, begin, end);
    AtomicWord(words_[word]).fetch_or(mask, std::memory_order_release);
  }
}

bool WrittenMap::any(BlockNo first, uint64_t count) const {
  const uint64_t begin = to_int(first);
  const uint64_t end = begin + count;
  for (uint64_t word = begin / kBits; word * kBits < end; ++word)
    if (AtomicWord(words_[word]).load(std::memory_order_acquire) &
        mask_in(word, begin, end))
      return true;
  return false;
}

uint64_t WrittenMap::run_length(BlockNo first, uint64_t max) const {
  const uint64_t begin = to_int(first);
  const uint64_t end = begin + max;
  const uint64_t flip = test(first) ? ~uint64_t{0} : 0;
  for (uint64_t word = begin / kBits; word * kBits < end; ++word) {
    const uint64_t bits =
        AtomicWord(words_[word]).load(std::memory_order_acquire);
    const uint64_t differs = (bits ^ flip) & mask_in(word, begin, end);
    if (differs != 0)
      return word * kBits + static_cast<uint64_t>(std::countr_zero(differs)) -
             begin;
  }
  return max;
}

uint64_t WrittenMap::count() const {
  uint64_t total = 0;
  for (uint64_t word = 0; word * kBits < blocks_; ++word)
    total += static_cast<uint64_t>(std::popcount(
        AtomicWord(words_[word]).load(std::memory_order_acquire)));
  return total;
}

}  // namespace ovl
