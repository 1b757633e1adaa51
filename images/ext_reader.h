// SPDX-License-Identifier: BSD-3-Clause
//
// Reads the tree out of a clean device: the ext2 file system in the device's
// bytes, through libext2fs, becomes a Tree in the pool of the base image, in
// which everything that did not change is the very node it was synthesized
// from. Guest bytes are hostile: every number is checked, every loop bounded,
// and a file system that is not consistent is an error, never a guess.
//
// For one thread. The device, the base image and the pool outlive the reader,
// and the device's bytes do not change while it lives.
#pragma once

#include <functional>
#include <memory>

#include "fsengine/base/block_source.h"
#include "fsengine/base/tree.h"
#include "images/image.h"

namespace ovl {

struct ExtReaderInput {
  const BlockSource& device;  // what the guest sees
  const Image& base;          // what it was before the guest wrote
  NodePool& pool;             // that of the base image's trees
  Tree merged;                // the tree that the base image shows
  /// True when the guest wrote to any block of [first, first + count).
  std::function<bool(BlockNo first, uint64_t count)> any_written;
};

class ExtReader {
 public:
  /// EBUSY when the file system is not clean (mounted, crashed, needs journal
  /// recovery, has errors noted); ENOTSUP for features that this does not
  /// read or another file system in its place; EUCLEAN when inconsistent.
  static Result<std::unique_ptr<ExtReader>> open(ExtReaderInput input);
  ~ExtReader();

  /// The whole tree, checked: bitmaps against claims, double claims, link
  /// counts, parents, names. New nodes have Origin::kGuest, host_ino = the
  /// inode number, source = the node they were synthesized from while inode
  /// number, generation and type are still its own.
  Result<Tree> read_tree();

  /// How many blocks from `first` on, at most `max`, the guest has marked as
  /// free. REQUIRES: read_tree succeeded.
  uint64_t free_run(BlockNo first, uint64_t max) const;

  /// The bytes of regular file `ino`, holes as zeros. Lives as long as the
  /// reader.
  Result<std::unique_ptr<BlockSource>> open_file(Ino ino);

 private:
  struct Impl;
  explicit ExtReader(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace ovl
