// SPDX-License-Identifier: BSD-3-Clause
//
// A small merged tree, its image, a device over it, and a guest that changes
// the device: what tests of ExtReader stand on.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "images/ext_reader.h"
#include "tests/support/memory_device.h"
#include "tests/support/nbd_guest_fs.h"
#include "tests/support/tree_builder.h"

namespace ovl {

inline Status write_text(GuestFs& fs, std::string_view path, uint64_t offset,
                         std::string_view text) {
  return fs.write(path, offset, std::as_bytes(std::span(text)));
}

/// rw for the owner and user 5, r for others, as getxattr(2) returns it.
inline std::string access_acl() {
  constexpr uint16_t kEntries[][2] = {
      {1, 6}, {2, 6}, {4, 4}, {0x10, 6}, {0x20, 4}};
  std::string acl("\2\0\0\0", 4);
  for (const auto& [tag, permissions] : kEntries) {
    acl += {static_cast<char>(tag), 0, static_cast<char>(permissions), 0};
    acl += tag == 2 ? std::string("\5\0\0\0", 4) : std::string(4, '\xff');
  }
  return acl;
}

class ExtReaderFixture : public testing::Test {
 protected:
  static constexpr uint32_t kManyNames = 2000;

  explicit ExtReaderFixture(FsType type = FsType::kExt2) {
    const NodeId root = make_tree();
    ImageOptions options;
    options.type = type;
    options.size = {SizeRequest::Kind::kTotal, 256 << 20};
    auto image = Image::build({pool_, root}, {pool_, root}, options);
    EXPECT_TRUE(image.has_value()) << image.error().what();
    image_ = std::move(*image);
    device_ = std::make_unique<MemoryDevice>(pool_, *image_);
    merged_ = root;
    nodes_before_ = pool_.size();
  }

  NodeId merged() const { return merged_; }

  /// Runs `work` in a guest that mounts and unmounts; the result is clean.
  void guest(const std::function<Status(GuestFs&)>& work) {
    auto fs = GuestFs::open(*device_, device_->sink());
    ASSERT_TRUE(fs.has_value()) << fs.error().what();
    const Status done = work(*fs);
    ASSERT_TRUE(done.has_value()) << done.error().what();
    const Status closed = fs->close();
    ASSERT_TRUE(closed.has_value()) << closed.error().what();
    expect_fsck_clean();
  }

  void expect_fsck_clean() const {
    const ImageFile file(pool_, *image_);
    std::fstream out(file.path(), std::ios::in | std::ios::out);
    for (const auto& [number, block] : device_->written()) {
      out.seekp(static_cast<std::streamoff>(number * kBlockSize));
      out.write(reinterpret_cast<const char*>(block.data()), kBlockSize);
    }
    out.close();
    const auto check = run_program("e2fsck -fn " + file.path());
    EXPECT_EQ(check.status, 0) << check.output;
  }

  Result<std::unique_ptr<ExtReader>> open() {
    return ExtReader::open({*device_,
                            *image_,
                            pool_,
                            {pool_, merged_},
                            [this](BlockNo first, uint64_t count) {
                              return device_->any_written(first, count);
                            }});
  }

  Error open_error() {
    auto reader = open();
    EXPECT_FALSE(reader.has_value());
    return reader.has_value() ? Error(0, "") : reader.error();
  }

  Result<Tree> try_read() {
    reader_ = OVL_TRY(open());
    return reader_->read_tree();
  }

  Tree read() {
    Result<Tree> tree = try_read();
    EXPECT_TRUE(tree.has_value()) << tree.error().what();
    return tree.has_value() ? *tree : Tree{pool_, merged_};
  }

  /// Of read_tree(); code 0 when there is none.
  Error read_error() {
    const Result<Tree> tree = try_read();
    return tree.has_value() ? Error(0, "read") : tree.error();
  }

  NodeId id(const Tree& tree, std::string_view path) const {
    NodeId at = tree.root;
    while (!path.empty() && at != kNoNode) {
      const size_t slash = std::min(path.find('/'), path.size());
      at = pool_.child(at, path.substr(0, slash));
      path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return at;
  }
  NodeId id(std::string_view path) const { return id({pool_, merged_}, path); }
  const Node& at(const Tree& tree, std::string_view path) const {
    const NodeId node = id(tree, path);
    EXPECT_NE(node, kNoNode) << path;
    return pool_[node == kNoNode ? merged_ : node];
  }
  std::string target(const Tree& tree, std::string_view path) const {
    return std::string(pool_.strings.get(at(tree, path).target));
  }
  const XattrSet& xattrs(const Tree& tree, std::string_view path) const {
    return pool_.xattrs.get(at(tree, path).xattrs);
  }

  /// Through ExtReader::open_file.
  std::string content(std::string_view path) {
    return read_back(path, 0, at(read(), path).size);
  }
  std::string read_back(std::string_view path, uint64_t offset,
                        uint64_t length) {
    const Node& node = at(read(), path);
    const Ino ino = node.origin == Origin::kGuest
                        ? Ino{static_cast<uint32_t>(node.host_ino)}
                        : image_->ino_of(id(path));
    auto file = reader_->open_file(ino);
    EXPECT_TRUE(file.has_value()) << file.error().what();
    std::string bytes(length, '\0');
    const Status status =
        (*file)->read(offset, std::as_writable_bytes(std::span(bytes)));
    EXPECT_TRUE(status.has_value());
    return bytes;
  }
  /// What the source has.
  std::string made_content(std::string_view path) const {
    const NodeId node = id(path);
    std::string bytes(pool_[node].size, '\0');
    for (const DataRun& run : data_runs(pool_, pool_[node]))
      for (uint64_t i = uint64_t{run.first_block} * kBlockSize;
           i < bytes.size() &&
           i < uint64_t{run.first_block + run.blocks} * kBlockSize;
           ++i)
        bytes[i] = static_cast<char>(made_byte(node, i));
    return bytes;
  }

  void change_superblock(const std::function<void(ext2_super_block&)>& change) {
    ext2_super_block super;
    const auto bytes = std::as_writable_bytes(std::span(&super, 1));
    EXPECT_TRUE(device_->read(SUPERBLOCK_OFFSET, bytes).has_value());
    change(super);
    device_->write(SUPERBLOCK_OFFSET, bytes);
  }

  void change_inode(std::string_view path,
                    const std::function<void(ext2_inode_large&)>& change) {
    auto fs = GuestFs::open(*device_, device_->sink());
    const Ino ino = *fs->lookup(path);
    GuestInode inode = *fs->read_inode(ino);
    change(inode.fields);
    EXPECT_TRUE(fs->write_inode(ino, inode).has_value());
    EXPECT_TRUE(fs->close().has_value());
  }

  void overwrite_block(std::string_view path, uint64_t file_block) {
    const auto block = image_->block_of(id(path), file_block);
    ASSERT_TRUE(block.has_value());
    write_bytes(to_int(*block) * kBlockSize, "overwritten");
  }

  void write_bytes(uint64_t offset, std::string_view bytes) {
    device_->write(offset, std::as_bytes(std::span(bytes)));
  }

  NodePool pool_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<MemoryDevice> device_;
  std::unique_ptr<ExtReader> reader_;
  NodeId merged_ = kNoNode;
  uint32_t nodes_before_ = 0;

 private:
  NodeId make_tree() {
    TreeBuilder make(pool_);
    const NodeId hard = make.file(100);
    TreeBuilder::Names many;
    for (uint32_t i = 0; i < kManyNames; ++i)
      many.emplace_back("name" + std::to_string(i), make.file(0));
    return make.dir({
        {"a", make.file(3000)},
        {"big", make.file(2500 * kBlockSize)},
        {"d", make.dir({{"hard2", hard}, {"inner", make.file(20000)}})},
        {"deep", make.dir({{"er", make.dir({{"leaf", make.file(5)}})}})},
        {"dev", make.special(S_IFBLK, DeviceNo::of(8, 1))},
        {"empty", make.dir({})},
        {"far", make.symlink(std::string(100, 'y'))},
        {"hard1", hard},
        {"link", make.symlink("a")},
        {"many", make.dir(many)},
        {"sparse", make.sparse_file(100 * kBlockSize + 5, {{10, 3}, {50, 1}})},
        {"tagged", make.with_xattrs(make.file(10), {{"user.tag", "x"}})},
    });
  }
};

}  // namespace ovl
