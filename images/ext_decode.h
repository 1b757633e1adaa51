// SPDX-License-Identifier: BSD-3-Clause
//
// From one inode and its blocks to a node of a tree.
#pragma once

#include <cstdint>

#include "fsengine/base/tree.h"
#include "images/ext_block_map.h"
#include "images/ext_inode.h"
#include "images/ext_reader.h"
#include "images/ext_xattr_blocks.h"

namespace ovl {

/// Where a node came from, and what the base image shows for it.
struct SourceInode {
  NodeId node;
  ExtInode inode;
};

struct DecodeInput {
  Ino ino{};
  const ExtInode& inode;
  const SourceInode* source = nullptr;  // none: a new object
  /// The blocks, when they may not be the source's; none: content, target and
  /// entries are the source's, or there are no blocks.
  const BlockMap* map = nullptr;
};

class InodeDecoder {
 public:
  /// Both outlive this.
  InodeDecoder(const ExtReaderInput& input, const XattrBlocks& xattr_blocks)
      : input_(input), xattr_blocks_(xattr_blocks) {}

  /// The node without its entries: Origin::kGuest, content_changed set.
  /// EUCLEAN when a value makes no sense.
  Result<Node> decode(const DecodeInput& in) const;

  /// True when a tree shows no difference but, perhaps, in names.
  bool is_as_source(const Node& node) const;

 private:
  Status decode_mtime(const DecodeInput& in, Node& node) const;
  Status decode_xattrs(const DecodeInput& in, Node& node) const;
  Status decode_content(const DecodeInput& in, Node& node) const;
  Status decode_regular(const DecodeInput& in, Node& node) const;
  Status decode_symlink(const DecodeInput& in, Node& node) const;
  bool has_xattrs_of_source(const DecodeInput& in) const;
  bool has_content_of_source(const DecodeInput& in) const;
  bool has_target_of_source(const DecodeInput& in) const;

  const ExtReaderInput& input_;
  const XattrBlocks& xattr_blocks_;
};

}  // namespace ovl
