// SPDX-License-Identifier: BSD-3-Clause
//
// A small image with one object of each kind, and a device over it that an
// input writes to: any bytes, and what looks like the work of a guest.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "images/decode/base_state.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/memory_device.h"
#include "tests/support/nbd_guest_fs.h"
#include "tests/support/tree_builder.h"

namespace ovl {

/// What all inputs begin with.
class DecodeWorld {
 public:
  explicit DecodeWorld(FsType type) {
    root_ = make_tree();
    ImageOptions options;
    options.type = type;
    options.size = {SizeRequest::Kind::kTotal, 16 << 20};
    auto image = Image::build({pool_, root_}, {pool_, root_}, options);
    check(image.has_value());
    image_ = std::move(*image);
    base_.emplace(*image_);
    choose_blocks();
  }

  const NodePool& pool() const { return pool_; }
  NodeId root() const { return root_; }
  const Image& image() const { return *image_; }
  const BaseState& base() const { return *base_; }
  /// Blocks that are worth writing to, or pointing at.
  const std::vector<uint32_t>& blocks() const { return blocks_; }

 private:
  NodeId make_tree() {
    TreeBuilder make(pool_);
    const NodeId hard = make.file(100);
    const XattrSet large{{"user.large", std::string(1000, 'v')}};
    TreeBuilder::Names many;
    for (int i = 0; i < 300; ++i)
      many.emplace_back("a-long-name-" + std::to_string(i), make.file(0));
    return make.dir({
        {"a", make.file(3000)},
        {"b", make.with_xattrs(make.file(9000), large)},
        {"c", make.with_xattrs(make.file(0), large)},
        {"d", make.dir({{"x", hard}, {"y", make.file(70000)}})},
        {"e", make.dir({{"f", make.dir({{"g", make.file(5)}})}})},
        {"h", make.dir({})},
        {"i", hard},
        {"l", make.symlink("a")},
        {"m", make.symlink(std::string(100, 'm'))},
        {"n", make.special(S_IFBLK, DeviceNo::of(8, 1))},
        {"o", make.dir(many)},
        {"s", make.sparse_file(100 * kBlockSize + 5, {{10, 3}, {50, 1}})},
    });
  }

  // Of free blocks and inode tables, some; not the journal. The bitmap of
  // inodes tells whether one without links is open or free, and a kernel never
  // changes it without the inode.
  void choose_blocks() {
    using Kind = Image::Owner::Kind;
    int free_ones = 0;
    int tables = 0;
    for (uint32_t block = 1; block < image_->size() / kBlockSize; ++block) {
      const Kind kind = image_->owner_of(BlockNo{block}).kind;
      const bool is_wanted = kind == Kind::kFree         ? ++free_ones <= 12
                             : kind == Kind::kInodeTable ? ++tables <= 22
                                                         : true;
      if (is_wanted && kind != Kind::kJournal && kind != Kind::kInodeBitmap)
        blocks_.push_back(block);
    }
  }

  NodePool pool_;
  NodeId root_{};
  std::unique_ptr<Image> image_;
  std::optional<BaseState> base_;
  std::vector<uint32_t> blocks_;
};

/// The device of one input.
class DecodeDevice {
 public:
  using Note = std::function<void(BlockNo block)>;

  /// `note` hears of each block that is written.
  DecodeDevice(const DecodeWorld& world, Note note)
      : world_(world),
        image_(world.image()),
        note_(std::move(note)),
        device_(world.pool(), world.image()) {}

  const MemoryDevice& device() const { return device_; }

  void set_mounted(bool is_mounted) {
    const uint32_t place =
        SUPERBLOCK_OFFSET + offsetof(ext2_super_block, s_feature_incompat);
    uint32_t bits =
        get<uint32_t>(place) & ~uint32_t{EXT3_FEATURE_INCOMPAT_RECOVER};
    put(place, is_mounted ? bits | EXT3_FEATURE_INCOMPAT_RECOVER : bits);
  }

  /// One thing that the input says.
  void step(FuzzInput& input) {
    switch (input.byte() % 9) {
      case 0:
        return write(place(input), input.bytes(1 + input.byte() % 12));
      case 1:
        return put(place(input) & ~uint64_t{3}, value(input));
      case 2:
        return change_inode(input);
      case 3:
        return add_name(input);
      case 4:
        return remove_name(input);
      case 5:
        return copy_block(input);
      case 6:
        return make_inode(input);
      case 7:
        return set_bit(input);
      default:
        return change_links(ino(input), input.byte() % 2 == 0 ? 1 : -1);
    }
  }

 private:
  template <typename T>
  T get(uint64_t offset) const {
    T value{};
    check(device_.read(offset, std::as_writable_bytes(std::span(&value, 1)))
              .has_value());
    return value;
  }
  template <typename T>
  void put(uint64_t offset, const T& value) {
    write(offset, {reinterpret_cast<const char*>(&value), sizeof value});
  }
  void write(uint64_t offset, std::string_view bytes) {
    bytes = bytes.substr(0, kBlockSize - offset % kBlockSize);
    device_.write(offset, std::as_bytes(std::span(bytes)));
    note_(BlockNo{offset / kBlockSize});
  }

  uint32_t block(FuzzInput& input) const {
    return world_.blocks()[input.byte() % world_.blocks().size()];
  }
  uint64_t place(FuzzInput& input) const {
    return uint64_t{block(input)} * kBlockSize + input.word(2) % kBlockSize;
  }
  /// In use, free, and none's.
  Ino ino(FuzzInput& input) const {
    const uint32_t number = input.byte() % 40;
    if (number < 24)
      return Ino{number + 1};
    return Ino{300 + number};  // the last ones of the tree, and free ones
  }
  uint32_t value(FuzzInput& input) const {
    switch (input.byte() % 4) {
      case 0:
        return input.byte();
      case 1:
        return block(input);
      case 2:
        return to_int(ino(input));
      default:
        return input.word(4);
    }
  }
  uint64_t place_of(Ino ino) const {
    return to_int(image_.inode_block(ino)) * kBlockSize +
           uint64_t{(to_int(ino) - 1) % 16} * Image::kInodeSize;
  }
  uint64_t field(Ino ino, size_t offset) const {
    return place_of(ino) + offset;
  }
  void change_links(Ino ino, int by) {
    const uint64_t at = field(ino, offsetof(ext2_inode_large, i_links_count));
    put(at, static_cast<uint16_t>(get<uint16_t>(at) + by));
  }

  void change_inode(FuzzInput& input) {
    static constexpr size_t kFields[] = {
        offsetof(ext2_inode_large, i_size),
        offsetof(ext2_inode_large, i_size_high),
        offsetof(ext2_inode_large, i_flags),
        offsetof(ext2_inode_large, i_generation),
        offsetof(ext2_inode_large, i_file_acl),
        offsetof(ext2_inode_large, i_blocks),
        offsetof(ext2_inode_large, i_mtime_extra),
        offsetof(ext2_inode_large, i_mtime),
        offsetof(ext2_inode_large, i_block)};
    const Ino which = ino(input);
    const size_t at = kFields[input.byte() % std::size(kFields)];
    const bool is_pointer = at == offsetof(ext2_inode_large, i_block);
    put(field(which, at + (is_pointer ? input.byte() % 15 * 4 : 0)),
        value(input));
  }

  // The first block of a directory, 0 when it has none.
  uint64_t block_of(Ino directory) const {
    const auto inode = get<ext2_inode_large>(place_of(directory));
    if (!S_ISDIR(inode.i_mode))
      return 0;
    const bool has_extents = (inode.i_flags & EXT4_EXTENTS_FL) != 0;
    const uint64_t block = inode.i_block[has_extents ? 5 : 0];
    return block < image_.size() / kBlockSize ? block : 0;
  }

  // In the room behind the last entry of the first block.
  void add_name(FuzzInput& input) {
    const Ino directory = ino(input);
    const Ino target = ino(input);
    const uint8_t letter = input.byte() % 16;
    const uint8_t how = input.byte();
    const uint64_t start = block_of(directory) * kBlockSize;
    if (start == 0)
      return;
    size_t at = 0;
    size_t length = get<uint16_t>(start + 4);
    while (length >= 8 && at + length < kBlockSize) {
      at += length;
      length = get<uint16_t>(start + at + 4);
    }
    const size_t used = (8U + get<uint8_t>(start + at + 6) + 3) / 4 * 4;
    if (at + length != kBlockSize || length < used + 12)
      return;
    const uint32_t mode = get<uint16_t>(place_of(target));
    put(start + at + 4, static_cast<uint16_t>(used));
    put(start + at + used, to_int(target));
    put(start + at + used + 4, static_cast<uint16_t>(length - used));
    put(start + at + used + 6, uint8_t{1});
    put(start + at + used + 7, how % 4 == 0 ? uint8_t{0} : ext_file_type(mode));
    put(start + at + used + 8, static_cast<char>('a' + letter));
    if (how % 8 == 7)
      return;
    if (!S_ISDIR(mode))
      return change_links(target, 1);
    change_links(directory, 1);
    if (block_of(target) != 0)
      put(block_of(target) * kBlockSize + 12, to_int(directory));
  }

  void remove_name(FuzzInput& input) {
    const Ino directory = ino(input);
    const uint8_t index = input.byte() % 16;
    const bool is_quiet = input.byte() % 8 == 7;
    const uint64_t start = block_of(directory) * kBlockSize;
    size_t at = 24;
    for (uint8_t i = 0; i < index && at + 12 < kBlockSize; ++i)
      at += get<uint16_t>(start + at + 4) / 4 * 4;
    if (start == 0 || at + 12 >= kBlockSize)
      return;
    const Ino target{get<uint32_t>(start + at)};
    put(start + at, uint32_t{0});
    if (is_quiet || to_int(target) == 0 || to_int(target) > 1000)
      return;
    const bool is_dir = S_ISDIR(get<uint16_t>(place_of(target)));
    change_links(is_dir ? directory : target, -1);
  }

  void copy_block(FuzzInput& input) {
    const uint64_t from = block(input);
    std::string bytes(kBlockSize, '\0');
    check(device_
              .read(from * kBlockSize, std::as_writable_bytes(std::span(bytes)))
              .has_value());
    write(uint64_t{block(input)} * kBlockSize, bytes);
  }

  void make_inode(FuzzInput& input) {
    static constexpr uint16_t kTypes[] = {S_IFREG, S_IFDIR, S_IFLNK,
                                          S_IFIFO, S_IFCHR, 0};
    const Ino which = ino(input);
    GuestInode inode;
    inode.fields.i_mode = kTypes[input.byte() % std::size(kTypes)];
    inode.fields.i_generation = input.byte();
    inode.fields.i_extra_isize = 32;
    const uint8_t how = input.byte();
    const uint32_t data = block(input);
    if (S_ISDIR(inode.fields.i_mode)) {
      inode.fields.i_links_count = 2;
      make_directory(which, Ino{input.byte() % 32U + 1}, data);
    }
    if (how % 2 == 0) {
      inode.fields.i_block[0] = data;
      inode.fields.i_size = kBlockSize;
      inode.fields.i_blocks = 8;
    }
    put(place_of(which), inode);
  }
  void make_directory(Ino ino, Ino parent, uint64_t block) {
    std::string bytes(kBlockSize, '\0');
    const auto entry = [&](size_t at, Ino to, uint16_t length, uint8_t dots) {
      const uint32_t number = to_int(to);
      std::memcpy(bytes.data() + at, &number, sizeof number);
      std::memcpy(bytes.data() + at + 4, &length, sizeof length);
      bytes[at + 6] = static_cast<char>(dots);
      bytes[at + 7] = 2;
      std::memset(bytes.data() + at + 8, '.', dots);
    };
    entry(0, ino, 12, 1);
    entry(12, parent, kBlockSize - 12, 2);
    write(block * kBlockSize, bytes);
  }

  void set_bit(FuzzInput& input) {
    const bool is_inode = input.byte() % 2 == 0;
    const Ino which = ino(input);
    const uint32_t bit = is_inode ? to_int(which) - 1 : block(input);
    const uint64_t at =
        to_int(is_inode ? image_.inode_bitmap(0) : image_.block_bitmap(0)) *
            kBlockSize +
        bit / 8;
    put(at, static_cast<uint8_t>(get<uint8_t>(at) ^ 1 << bit % 8));
    if (is_inode)
      put(field(which, offsetof(ext2_inode_large, i_dtime)), bit);
  }

  const DecodeWorld& world_;
  const Image& image_;
  const Note note_;
  MemoryDevice device_;
};

}  // namespace ovl
