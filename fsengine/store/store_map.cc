// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/store_map.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <span>

#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

constexpr uint64_t kBits = 64;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kPageWords = kPageBytes / sizeof(uint64_t);

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

// Where the next data of a sparse file begins, or `size`.
Result<uint64_t> next_data(int file, uint64_t at, uint64_t size) {
  const off_t found = ::lseek(file, static_cast<off_t>(at), SEEK_DATA);
  if (found < 0 && errno == ENXIO)
    return size;
  if (found < 0)
    return last_error("lseek");
  return static_cast<uint64_t>(found);
}

}  // namespace

void StoreMap::Free::operator()(uint64_t* words) const {
  std::free(words);
}

StoreMap::StoreMap(uint64_t blocks)
    : blocks_(blocks),
      words_(static_cast<uint64_t*>(
          std::calloc(word_count() + kPageWords, sizeof(uint64_t)))) {
  if (words_ == nullptr)
    throw std::bad_alloc();
}

Status StoreMap::load(int file, bool doubtful) {
  struct stat st {};
  if (::fstat(file, &st) != 0)
    return last_error("fstat");
  const uint64_t size = std::min<uint64_t>(static_cast<uint64_t>(st.st_size),
                                           word_count() * sizeof(uint64_t));
  const auto bytes = std::as_writable_bytes(
      std::span(words_.get(), word_count() + kPageWords));
  for (uint64_t at = 0; (at = OVL_TRY(next_data(file, at, size))) < size;) {
    const uint64_t n = std::min(size, at + kPageBytes) - at;
    OVL_TRY(read_at(file, at, bytes.subspan(at, n)));
    for (uint64_t page = at / kPageBytes;
         doubtful && page * kPageBytes < at + n; ++page)
      unsaved_.insert(page);
    at += n;
  }
  is_synced_ = false;  // whoever wrote it may have been killed before
  return {};
}

Status StoreMap::save(Os& os, int file) {
  if (unsaved_.empty() && is_synced_)
    return {};
  is_synced_ = false;
  for (const uint64_t page : unsaved_)
    OVL_TRY(os.pwrite(
        file, std::as_bytes(std::span(&words_[page * kPageWords], kPageWords)),
        page * kPageBytes));
  OVL_TRY(os.fdatasync(file));
  unsaved_.clear();
  is_synced_ = true;
  return {};
}

uint64_t StoreMap::load_word(uint64_t word) const {
  return AtomicWord(words_[word]).load(std::memory_order_acquire);
}

bool StoreMap::test(BlockNo block) const {
  return load_word(to_int(block) / kBits) >> (to_int(block) % kBits) & 1;
}

void StoreMap::change(BlockNo first, uint64_t count, bool value) {
  const uint64_t begin = to_int(first);
  const uint64_t end = begin + count;
  for (uint64_t word = begin / kBits; word * kBits < end; ++word) {
    const uint64_t mask = mask_in(word, begin, end);
    const uint64_t old = load_word(word);
    const uint64_t wanted = value ? old | mask : old & ~mask;
    if (wanted == old)
      continue;
    AtomicWord(words_[word]).store(wanted, std::memory_order_release);
    unsaved_.insert(word / kPageWords);
  }
}

uint64_t StoreMap::run_length(BlockNo first, uint64_t max) const {
  const uint64_t begin = to_int(first);
  const uint64_t end = begin + max;
  const uint64_t flip = test(first) ? ~uint64_t{0} : 0;
  for (uint64_t word = begin / kBits; word * kBits < end; ++word) {
    const uint64_t differs =
        (load_word(word) ^ flip) & mask_in(word, begin, end);
    if (differs != 0)
      return word * kBits + static_cast<uint64_t>(std::countr_zero(differs)) -
             begin;
  }
  return max;
}

uint64_t StoreMap::count() const {
  uint64_t total = 0;
  for (uint64_t word = 0; word < word_count(); ++word)
    total += static_cast<uint64_t>(std::popcount(load_word(word)));
  return total;
}

}  // namespace ovl
