// SPDX-License-Identifier: BSD-3-Clause
//
// The base image: an ext2-family file system synthesized from a tree. Nothing
// is copied: metadata blocks are computed when read, data blocks are answered
// with the node and offset that they come from.
//
// Layout is lower-first: every object of the lower-only merge has its inode
// number and blocks before anything that upper adds, in sorted depth-first
// order, and keeps them (marked free) when upper hides it. So the lowers' part
// of the image is the same for every device of one size that shares them. A
// directory that upper merges keeps the inode number of its lower part.
//
// Immutable once built; safe for concurrent readers. The pool outlives it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/base/units.h"
#include "images/fs_type.h"

namespace ovl {

using Uuid = std::array<uint8_t, 16>;

/// `size=`: the whole device, or so much free space beyond the tree.
struct SizeRequest {
  enum class Kind { kTotal, kFreeSpace };
  Kind kind = Kind::kFreeSpace;
  uint64_t bytes = 0;
};

struct ImageOptions {
  FsType type = FsType::kExt2;
  SizeRequest size;
  std::string label;         // at most 16 bytes
  std::optional<Uuid> uuid;  // none: derived from the lower tree
  bool journal = true;
};

/// What a range of the device is made of.
struct Segment {
  enum class Kind {
    kZero,      // free or unused: reads as zeros
    kMetadata,  // read_metadata answers it
    kFile,      // bytes of `node` from `file_offset`; past its size, zeros
  };
  Kind kind = Kind::kZero;
  uint64_t length = 0;  // bytes of the device from the offset asked for
  NodeId node = kNoNode;
  uint64_t file_offset = 0;
};

class Image {
 public:
  /// Size in bytes of an inode in every image.
  static constexpr uint32_t kInodeSize = 256;
  using InodeBytes = std::array<std::byte, kInodeSize>;

  /// Lays out `merged`, which was built over `lower` in the same pool (for a
  /// device without upper they are the same tree). EFBIG, ENOSPC and EMLINK
  /// errors name the path, or the size that the tree needs.
  static Result<std::unique_ptr<Image>> build(Tree lower, Tree merged,
                                              const ImageOptions& options);
  ~Image();

  /// Device size in bytes, a multiple of kBlockSize.
  uint64_t size() const;

  /// What the device holds at `offset`: the longest segment up to `length`
  /// bytes. REQUIRES: length > 0, offset + length <= size().
  Segment resolve(uint64_t offset, uint64_t length) const;

  /// Fills `out` with metadata. REQUIRES: resolve() says kMetadata for all of
  /// the range.
  void read_metadata(uint64_t offset, std::span<std::byte> out) const;

  /// The node that the image shows as inode `ino`, or kNoNode: reserved, free
  /// and out-of-range numbers, and objects that upper hides.
  NodeId node_of(Ino ino) const;

  /// The inode number of a node of the merged tree.
  Ino ino_of(NodeId node) const;

  /// Has directory `ino` an entry called `name`? False of what is none.
  bool has_name(Ino ino, std::string_view name) const;

  /// The 256 bytes that the image shows for inode `ino`; zeros when unused.
  InodeBytes inode_bytes(Ino ino) const;

  /// The inode of the directory that directory `ino` is in, the root's its own;
  /// 0 for what is no directory of the merged tree.
  Ino parent_of(Ino ino) const;

  /// The device blocks that hold everything of `node` but its inode: content,
  /// directory, indirect blocks; one run in the order of data_position. An
  /// object without blocks gives an empty vector. Extended attribute blocks,
  /// which may be shared, are not in it.
  struct BlockRun {
    BlockNo first{};
    uint64_t count = 0;
  };
  std::vector<BlockRun> blocks_of(NodeId node) const;

  /// The device block of block `file_block` of a regular file, symlink or
  /// directory of the merged tree, or nothing where it has a hole.
  std::optional<BlockNo> block_of(NodeId node, uint64_t file_block) const;

  /// What the image uses a block for.
  struct Owner {
    enum class Kind {
      kFree,
      kGroupMetadata,  // superblock, descriptors, and what is of no file system
      kBlockBitmap,
      kInodeBitmap,
      kInodeTable,
      kJournal,
      kMap,      // extents or pointers of `ino`
      kContent,  // block `file_block` of a file, directory or symlink
      kXattrs,   // see xattr_users()
    };
    Kind kind = Kind::kFree;
    Ino ino{};  // kMap, kContent; kInodeTable: the first inode in the block
    uint32_t file_block = 0;
    uint32_t users = 0;  // kXattrs: how many inodes
    uint64_t count = 0;  // blocks this is true of, file_block rising with them
  };
  /// REQUIRES: the block is on the device.
  Owner owner_of(BlockNo block) const;

  /// All inodes with an attribute block, which many may share, by inode number.
  struct XattrUser {
    BlockNo block{};
    Ino ino{};
  };
  std::vector<XattrUser> xattr_users() const;

  /// The block whose bit n is about block, or inode, n of the group.
  uint64_t groups() const;
  uint32_t inodes_per_group() const;
  BlockNo block_bitmap(uint64_t group) const;
  BlockNo inode_bitmap(uint64_t group) const;
  /// The block of the inode tables with `ino`. REQUIRES: there is such an
  /// inode.
  BlockNo inode_block(Ino ino) const;

  /// A hash of everything that placement and metadata depend on: two images
  /// with the same value and size have the same bytes.
  uint64_t fingerprint() const;

  const Uuid& uuid() const;

 private:
  struct Parts;
  explicit Image(std::unique_ptr<const Parts> parts);

  std::unique_ptr<const Parts> parts_;
};

}  // namespace ovl
