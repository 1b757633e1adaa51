// SPDX-License-Identifier: BSD-3-Clause
#include "images/block_claims.h"

#include <endian.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include <fmt/format.h>

namespace ovl {

namespace {

constexpr uint64_t kWordBits = 64;
constexpr uint64_t kWindowWords = 512;

tl::unexpected<Error> bad_block(uint64_t block, const char* what) {
  return fail(EUCLEAN, fmt::format("block {} {}", block, what));
}

// Bits [first, first + count) of one word. REQUIRES: 0 < count, within it.
uint64_t mask_of(uint64_t first, uint64_t count) {
  const uint64_t ones =
      count == kWordBits ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  return ones << first;
}

using Window = std::array<uint64_t, kWindowWords>;

// The bitmap's bytes from `first_block`; bits past its end are zero.
Status read_bitmap_window(ext2_filsys fs, uint64_t first_block, uint64_t blocks,
                          Window& window) {
  window.fill(0);
  const errcode_t code = ext2fs_get_block_bitmap_range2(
      fs->block_map, first_block, static_cast<size_t>(blocks), window.data());
  for (uint64_t& word : window)
    word = le64toh(word);
  if (blocks % kWordBits != 0)
    window[blocks / kWordBits] &= mask_of(0, blocks % kWordBits);
  return ext2_status(code, "read the block bitmap");
}

Status compare_words(uint64_t claimed, uint64_t marked, uint64_t first_block) {
  if (claimed == marked)
    return {};
  const uint64_t differing = claimed ^ marked;
  const auto bit = static_cast<uint64_t>(std::countr_zero(differing));
  return bad_block(first_block + bit, (claimed >> bit & 1) != 0
                                          ? "is in use but marked free"
                                          : "is marked in use but unused");
}

}  // namespace

BlockClaims::BlockClaims(uint64_t blocks)
    : blocks_(blocks), words_((blocks + kWordBits - 1) / kWordBits) {}

Status BlockClaims::claim(BlockNo first, uint64_t count) {
  uint64_t at = to_int(first);
  if (at >= blocks_ || count > blocks_ - at)
    return bad_block(at, "is outside of the file system");
  const uint64_t end = at + count;
  while (at < end) {
    const uint64_t bit = at % kWordBits;
    const uint64_t here = std::min(kWordBits - bit, end - at);
    OVL_TRY(claim_in_word(at / kWordBits, mask_of(bit, here)));
    at += here;
  }
  return {};
}

Status BlockClaims::claim_in_word(uint64_t word, uint64_t mask) {
  const uint64_t taken = words_[word] & mask;
  if (taken != 0) {
    const auto bit = static_cast<uint64_t>(std::countr_zero(taken));
    return bad_block(word * kWordBits + bit, "is claimed twice");
  }
  words_[word] |= mask;
  return {};
}

Status BlockClaims::check_against_bitmap(ext2_filsys fs) const {
  Window window;
  for (uint64_t word = 0; word < words_.size(); word += kWindowWords) {
    const uint64_t first = word * kWordBits;
    const uint64_t blocks = std::min(kWindowWords * kWordBits, blocks_ - first);
    OVL_TRY(read_bitmap_window(fs, first, blocks, window));
    const uint64_t words = std::min(kWindowWords, words_.size() - word);
    for (uint64_t i = 0; i < words; ++i)
      OVL_TRY(
          compare_words(words_[word + i], window[i], first + i * kWordBits));
  }
  return {};
}

namespace {

Status claim_group(ext2_filsys fs, dgrp_t group, BlockClaims& claims) {
  blk64_t super = 0;
  blk64_t old_descriptors = 0;
  blk64_t new_descriptors = 0;
  ext2fs_super_and_bgd_loc2(fs, group, &super, &old_descriptors,
                            &new_descriptors, nullptr);
  if (group == 0 || super != 0)
    OVL_TRY(claims.claim(BlockNo{super}));
  if (old_descriptors != 0)
    OVL_TRY(claims.claim(BlockNo{old_descriptors}, fs->desc_blocks));
  if (new_descriptors != 0)
    OVL_TRY(claims.claim(BlockNo{new_descriptors}));
  OVL_TRY(claims.claim(BlockNo{ext2fs_block_bitmap_loc(fs, group)}));
  OVL_TRY(claims.claim(BlockNo{ext2fs_inode_bitmap_loc(fs, group)}));
  return claims.claim(BlockNo{ext2fs_inode_table_loc(fs, group)},
                      fs->inode_blocks_per_group);
}

}  // namespace

Status claim_metadata(ext2_filsys fs, BlockClaims& claims) {
  for (dgrp_t group = 0; group < fs->group_desc_count; ++group)
    OVL_TRY(claim_group(fs, group, claims)
                .in(fmt::format("metadata of group {}", group)));
  return {};
}

}  // namespace ovl
