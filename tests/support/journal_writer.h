// SPDX-License-Identifier: BSD-3-Clause
//
// A small device in memory, and a writer of jbd2 journals on it in every format
// that there is. It makes the blocks that it is asked for, sound or not. For
// one thread.
#pragma once

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "fsengine/base/block_source.h"
#include "images/ext_block_map.h"
#include "images/journal/big_endian.h"

namespace ovl {

using JournalBlock = std::array<std::byte, kBlockSize>;

class JournalDevice : public BlockSource {
 public:
  explicit JournalDevice(uint64_t blocks) : bytes_(blocks * kBlockSize) {}

  uint64_t size() const override { return bytes_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    if (fails_at_ == BlockNo{offset / kBlockSize})
      return fail(EIO, "made to fail");
    ++reads_;
    std::ranges::copy(std::span(bytes_).subspan(offset, out.size()),
                      out.begin());
    return {};
  }

  std::span<std::byte> block(BlockNo number) {
    return std::span(bytes_).subspan(to_int(number) * kBlockSize, kBlockSize);
  }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::span<std::byte> bytes() { return bytes_; }
  void fail_at(BlockNo block) { fails_at_ = block; }
  uint64_t reads() const { return reads_; }

 private:
  std::vector<std::byte> bytes_;
  BlockNo fails_at_{~uint64_t{0}};
  mutable uint64_t reads_ = 0;
};

/// A block that tells one stamp from another everywhere; some begin with the
/// magic number of a journal.
inline JournalBlock stamped_block(uint64_t stamp, bool has_magic = false) {
  JournalBlock block;
  for (size_t at = 0; at < kBlockSize; at += 8)
    store_be64(block, at, stamp * 0x9E3779B97F4A7C15 + at);
  if (has_magic)
    store_be32(block, 0, 0xC03B3998);
  return block;
}

struct JournalKind {
  std::string name = "plain";
  uint32_t compat = 0;
  uint32_t incompat = 0x1;
  size_t tag_bytes = 8;

  bool is_64bit() const { return (incompat & 0x2) != 0; }
  bool is_v1() const { return (compat & 0x1) != 0; }
  bool is_v2() const { return (incompat & 0x8) != 0; }
  bool is_v3() const { return (incompat & 0x10) != 0; }
  bool has_block_checksums() const { return is_v2() || is_v3(); }
  bool has_checksums() const { return is_v1() || has_block_checksums(); }
  size_t area_end() const {
    return has_block_checksums() ? kBlockSize - 4 : kBlockSize;
  }
};

inline std::vector<JournalKind> all_journal_kinds() {
  return {
      {"plain", 0, 0x1, 8},   {"plain64", 0, 0x3, 12},    {"v1", 1, 0x1, 8},
      {"v1_64", 1, 0x3, 12},  {"v1_async", 1, 0x5, 8},    {"v2", 0, 0x9, 10},
      {"v2_64", 0, 0xb, 14},  {"v2_async64", 0, 0xf, 14}, {"v3", 0, 0x11, 16},
      {"v3_64", 0, 0x13, 16}, {"v3_async64", 0, 0x17, 16}};
}

struct JournalWrite {
  uint64_t block = 0;
  JournalBlock content{};
};

class JournalWriter {
 public:
  /// The journal's file is at `runs` of `device`, which outlives the writer.
  /// Nothing is written before make_superblock().
  JournalWriter(JournalDevice& device, std::vector<MappedRun> runs,
                JournalKind kind)
      : device_(device), runs_(std::move(runs)), kind_(std::move(kind)) {
    for (size_t i = 0; i < uuid.size(); ++i)
      uuid[i] = static_cast<std::byte>(17 * i + 3);
    end = static_cast<uint32_t>(runs_.back().file_block + runs_.back().count);
  }

  // Of the superblock; the last two are the tail.
  std::array<std::byte, 16> uuid{};
  uint32_t first = 1;
  uint32_t end = 0;
  uint32_t sequence = 1;
  uint32_t start = 0;
  uint32_t error = 0;

  // Descriptors say which of their tags is the last.
  bool has_last_tag = true;

  // Of what is written next.
  uint32_t id = 1;
  uint32_t head = 1;

  const JournalKind& kind() const { return kind_; }
  void set_kind(JournalKind kind) { kind_ = std::move(kind); }
  const std::vector<MappedRun>& runs() const { return runs_; }
  uint32_t ring() const { return end - first; }

  BlockNo at(uint64_t position) const {
    for (const MappedRun& run : runs_)
      if (position - run.file_block < run.count)
        return BlockNo{to_int(run.device) + position - run.file_block};
    return BlockNo{};
  }
  std::span<std::byte> block(uint64_t position) {
    return device_.block(at(position));
  }

  void make_superblock() {
    const auto out = block(0).first(1024);
    std::ranges::fill(out, std::byte{});
    put_header(out, 4, 0);
    store_be32(out, 0x0c, kBlockSize);
    store_be32(out, 0x10, end);
    store_be32(out, 0x14, first);
    store_be32(out, 0x18, sequence);
    store_be32(out, 0x1c, start);
    store_be32(out, 0x20, error);
    store_be32(out, 0x24, kind_.compat);
    store_be32(out, 0x28, kind_.incompat);
    std::ranges::copy(uuid, out.begin() + 0x30);
    store_be32(out, 0x40, 1);
    if (kind_.has_block_checksums())
      out[0x50] = std::byte{4};
    seal_superblock();
  }
  void seal_superblock() {
    const auto out = block(0).first(1024);
    store_be32(out, 0xfc, 0);
    if (kind_.has_block_checksums())
      store_be32(out, 0xfc, crc32c(~0U, out));
  }
  void set_tail(uint32_t tail_id, uint32_t position) {
    sequence = tail_id;
    start = position;
    make_superblock();
  }

  /// One descriptor with its copies; as many tags as it has room for.
  /// Returns its position.
  uint32_t descriptor(std::span<const JournalWrite> writes) {
    const uint32_t at = next_position();
    auto out = block(at);
    std::ranges::fill(out, std::byte{});
    put_header(out, 1, id);
    size_t offset = 12;
    std::vector<JournalBlock> copies;
    for (const JournalWrite& write : writes) {
      copies.push_back(escaped(write.content));
      const bool is_first = copies.size() == 1;
      put_tag(out.subspan(offset), write, copies.back(),
              (is_first ? 0 : 0x2) |
                  (has_last_tag && copies.size() == writes.size() ? 0x8 : 0));
      offset += kind_.tag_bytes;
      if (is_first) {
        std::ranges::copy(uuid, out.begin() + static_cast<ptrdiff_t>(offset));
        offset += uuid.size();
      }
    }
    seal(out);
    transaction_crc_ = crc32_be(transaction_crc_, out);
    for (const JournalBlock& copy : copies)
      this->copy(copy);
    return at;
  }
  /// How many tags a descriptor has room for.
  size_t tags_in_descriptor() const {
    return (kind_.area_end() - 12 - 16) / kind_.tag_bytes;
  }

  /// A block of revoked numbers. Returns its position.
  uint32_t revoke(std::span<const uint64_t> blocks) {
    const uint32_t at = next_position();
    auto out = block(at);
    std::ranges::fill(out, std::byte{});
    put_header(out, 5, id);
    size_t offset = 16;
    for (const uint64_t number : blocks) {
      if (kind_.is_64bit())
        store_be64(out, offset, number);
      else
        store_be32(out, offset, static_cast<uint32_t>(number));
      offset += kind_.is_64bit() ? 8 : 4;
    }
    store_be32(out, 12, static_cast<uint32_t>(offset));
    seal(out);
    return at;
  }

  /// Ends the transaction; the next has the next number. Returns its position.
  uint32_t commit() {
    const uint32_t at = next_position();
    auto out = block(at);
    std::ranges::fill(out, std::byte{});
    put_header(out, 2, id);
    store_be64(out, 0x30, 1700000000 + id);
    if (kind_.is_v1()) {
      out[12] = std::byte{1};
      out[13] = std::byte{4};
      store_be32(out, 16, transaction_crc_);
    }
    if (kind_.has_block_checksums())
      store_be32(out, 16, crc32c(seed(), out));
    abandon();
    ++id;
    return at;
  }
  /// What was written of the transaction does not count for its checksum.
  void abandon() { transaction_crc_ = ~0U; }

  /// A whole transaction. Returns where it begins.
  uint32_t write(std::span<const JournalWrite> writes,
                 std::span<const uint64_t> revoked = {}) {
    const uint32_t at = head;
    if (!writes.empty())
      descriptor(writes);
    if (!revoked.empty())
      revoke(revoked);
    commit();
    return at;
  }

  /// The checksum at the end of a descriptor or of revoked blocks fits.
  void seal(std::span<std::byte> out) {
    if (!kind_.has_block_checksums())
      return;
    store_be32(out, kBlockSize - 4, 0);
    store_be32(out, kBlockSize - 4, crc32c(seed(), out));
  }

  void put_header(std::span<std::byte> out, uint32_t type, uint32_t number) {
    store_be32(out, 0, 0xC03B3998);
    store_be32(out, 4, type);
    store_be32(out, 8, number);
  }

 private:
  static uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes) {
    return ext2fs_crc32c_le(
        crc, reinterpret_cast<const unsigned char*>(bytes.data()),
        bytes.size());
  }
  static uint32_t crc32_be(uint32_t crc, std::span<const std::byte> bytes) {
    return ext2fs_crc32_be(crc,
                           reinterpret_cast<const unsigned char*>(bytes.data()),
                           bytes.size());
  }
  uint32_t seed() const { return crc32c(~0U, uuid); }

  static JournalBlock escaped(JournalBlock content) {
    if (load_be32(content, 0) == 0xC03B3998)
      store_be32(content, 0, 0);
    return content;
  }

  void put_tag(std::span<std::byte> tag, const JournalWrite& write,
               const JournalBlock& copy, int flags) const {
    if (copy != write.content)
      flags |= 0x1;
    std::array<std::byte, 4> number;
    store_be32(number, 0, id);
    const uint32_t crc = crc32c(crc32c(seed(), number), copy);
    store_be32(tag, 0, static_cast<uint32_t>(write.block));
    store_be16(tag, 6, static_cast<uint16_t>(flags));
    if (kind_.is_64bit())
      store_be32(tag, 8, static_cast<uint32_t>(write.block >> 32));
    if (kind_.is_v3())
      store_be32(tag, 12, crc);
    else if (kind_.is_v2())
      store_be16(tag, 4, static_cast<uint16_t>(crc));
  }

  void copy(const JournalBlock& content) {
    std::ranges::copy(content, block(next_position()).begin());
    transaction_crc_ = crc32_be(transaction_crc_, content);
  }

  uint32_t next_position() {
    const uint32_t at = head;
    head = head + 1 == end ? first : head + 1;
    return at;
  }

  JournalDevice& device_;
  std::vector<MappedRun> runs_;
  JournalKind kind_;
  uint32_t transaction_crc_ = ~0U;
};

}  // namespace ovl
