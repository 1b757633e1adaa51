// SPDX-License-Identifier: BSD-3-Clause
//
// Bytes put where no guest's kernel would: what tests of a decoder against a
// hostile guest stand on. Nothing here goes through a library that would mind.
#pragma once

#include <cstring>
#include <functional>
#include <string>

#include <gmock/gmock.h>

#include "tests/support/decoder_fixture.h"

namespace ovl {

/// The bytes of a node of an extent tree.
class ExtentNode {
 public:
  explicit ExtentNode(uint16_t depth, uint16_t room = 4) {
    put16(0xf30a);
    put16(0);
    put16(room);
    put16(depth);
    put32(0);
  }
  ExtentNode& extent(uint32_t first, uint16_t length, uint32_t block) {
    put32(first);
    put16(length);
    put16(0);
    put32(block);
    return count();
  }
  ExtentNode& index(uint32_t first, uint32_t block) {
    put32(first);
    put32(block);
    put32(0);
    return count();
  }
  const std::string& bytes() const { return bytes_; }

 private:
  ExtentNode& count() {
    ++bytes_[2];
    return *this;
  }
  void put16(uint16_t value) {
    bytes_ += static_cast<char>(value & 0xff);
    bytes_ += static_cast<char>(value >> 8);
  }
  void put32(uint32_t value) {
    put16(static_cast<uint16_t>(value & 0xffff));
    put16(static_cast<uint16_t>(value >> 16));
  }

  std::string bytes_;
};

class DamageFixture : public DecoderFixture {
 protected:
  explicit DamageFixture(FsType type = FsType::kExt2) : DecoderFixture(type) {}

  static constexpr uint64_t kBitmapBits = 8 * uint64_t{kBlockSize};

  /// Decodes as of a guest that has the file system mounted, with a journal
  /// that is empty: what is in place is committed.
  Error mounted_error() {
    set_mounted(true);
    Error error = decode_error();
    set_mounted(false);
    return error;
  }
  Changes take_mounted() {
    set_mounted(true);
    Changes changes = take();
    set_mounted(false);
    return changes;
  }
  void set_mounted(bool is_mounted) {
    change_superblock([is_mounted](ext2_super_block& super) {
      super.s_feature_incompat &= ~uint32_t{EXT3_FEATURE_INCOMPAT_RECOVER};
      if (is_mounted)
        super.s_feature_incompat |= EXT3_FEATURE_INCOMPAT_RECOVER;
    });
  }

  /// `damage` is refused with `words`, and nothing of it stays: without it
  /// another change is told alone, but for `rewritten` files whose content was
  /// written and is as it was.
  void expect_refused(const std::string& words,
                      const std::function<void()>& damage,
                      size_t rewritten = 0) {
    const MemoryDevice sound = *device_;
    damage();
    const Error mounted = mounted_error();
    EXPECT_EQ(mounted.code(), EUCLEAN) << mounted.what();
    EXPECT_THAT(mounted.what(), testing::HasSubstr(words));
    const Error clean = decode_error();
    EXPECT_EQ(clean.code(), EBUSY) << clean.what();
    EXPECT_THAT(clean.what(), testing::HasSubstr(words));
    device_->restore(sound);
    const Ino other = image_->ino_of(id("tagged"));
    uint32_t mode = 0;
    poke_inode(other, [&mode](ext2_inode_large& inode) {
      inode.i_mode ^= 0200;
      mode = inode.i_mode;
    });
    EXPECT_THAT(
        lines(take_mounted()),
        testing::AllOf(testing::SizeIs(1 + rewritten),
                       testing::Contains(fmt::format("changed {} {:o} mode",
                                                     to_int(other), mode))));
    EXPECT_TRUE(take().empty());
  }

  void poke_inode(Ino ino,
                  const std::function<void(ext2_inode_large&)>& change) {
    GuestInode inode;
    const auto bytes = std::as_writable_bytes(std::span(&inode, 1));
    EXPECT_TRUE(device_->read(offset_of(ino), bytes).has_value());
    change(inode.fields);
    device_->write(offset_of(ino), bytes);
  }
  void poke_inode(std::string_view path,
                  const std::function<void(ext2_inode_large&)>& change) {
    poke_inode(base_ino(path), change);
  }
  ext2_inode_large peek_inode(Ino ino) {
    ext2_inode_large out{};
    poke_inode(ino, [&out](ext2_inode_large& inode) { out = inode; });
    return out;
  }
  void poke_map(std::string_view path, const std::string& bytes) {
    poke_inode(path, [&bytes](ext2_inode_large& inode) {
      std::memcpy(inode.i_block, bytes.data(), bytes.size());
    });
  }
  uint64_t offset_of(Ino ino) const {
    return to_int(image_->inode_block(ino)) * kBlockSize +
           uint64_t{(to_int(ino) - 1) % (kBlockSize / Image::kInodeSize)} *
               Image::kInodeSize;
  }

  Ino base_ino(std::string_view path) const { return image_->ino_of(id(path)); }
  uint32_t base_number(std::string_view path) const {
    return to_int(base_ino(path));
  }
  uint32_t base_block(std::string_view path, uint64_t file_block = 0) const {
    return static_cast<uint32_t>(
        to_int(*image_->block_of(id(path), file_block)));
  }
  /// Block `index`, counted from the end, that the base image does not use.
  uint32_t free_block(uint32_t index = 0) const {
    for (uint64_t block = image_->size() / kBlockSize - 1;; --block)
      if (image_->owner_of(BlockNo{block}).kind == Image::Owner::Kind::kFree &&
          index-- == 0)
        return static_cast<uint32_t>(block);
  }

  /// Where the entry `name` begins in a directory of the base image, in the
  /// first of its blocks that has it.
  uint64_t offset_of_entry(std::string_view directory, std::string_view name) {
    for (uint64_t file_block = 0;; ++file_block) {
      const auto place = image_->block_of(id(directory), file_block);
      if (!place)
        break;
      const std::string block = read_block(to_int(*place));
      for (size_t at = 0; at + 8 <= block.size();) {
        const auto length = static_cast<uint8_t>(block[at + 6]);
        if (block.substr(at + 8, length) == name)
          return to_int(*place) * kBlockSize + at;
        at += std::max<size_t>(8, load16(block, at + 4));
      }
    }
    ADD_FAILURE() << "no name " << name;
    return 0;
  }
  std::string read_block(uint64_t block) const {
    std::string bytes(kBlockSize, '\0');
    EXPECT_TRUE(
        device_
            ->read(block * kBlockSize, std::as_writable_bytes(std::span(bytes)))
            .has_value());
    return bytes;
  }
  void write_number(uint64_t offset, uint32_t value) {
    write_bytes(offset, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  void write_short(uint64_t offset, uint16_t value) {
    write_bytes(offset, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  void set_bit(BlockNo bitmap, uint64_t bit, bool value) {
    const uint64_t offset = to_int(bitmap) * kBlockSize + bit / 8;
    std::string byte(1, '\0');
    EXPECT_TRUE(device_->read(offset, std::as_writable_bytes(std::span(byte))));
    const int mask = 1 << bit % 8;
    byte[0] = static_cast<char>(value ? byte[0] | mask : byte[0] & ~mask);
    write_bytes(offset, byte);
  }
  void set_block_used(uint64_t block, bool is_used) {
    set_bit(image_->block_bitmap(block / kBitmapBits), block % kBitmapBits,
            is_used);
  }
  void set_inode_used(Ino ino, bool is_used) {
    const uint32_t index = to_int(ino) - 1;
    const uint32_t per_group = image_->inodes_per_group();
    set_bit(image_->inode_bitmap(index / per_group), index % per_group,
            is_used);
  }

 private:
  static size_t load16(const std::string& bytes, size_t at) {
    return static_cast<uint8_t>(bytes[at]) |
           size_t{static_cast<uint8_t>(bytes[at + 1])} << 8;
  }
};

}  // namespace ovl
