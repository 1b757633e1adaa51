// SPDX-License-Identifier: BSD-3-Clause
//
// The base image in the catalog's terms: what is true of whatever the catalog
// does not mention. Reads metadata only, which is computed, and never a file
// of the host. Immutable; the image outlives it.
#pragma once

#include "fsengine/base/block_source.h"
#include "images/decode/catalog_inode.h"
#include "images/decode/mapping.h"
#include "images/decode/packed_names.h"
#include "images/image.h"

namespace ovl {

class BaseState {
 public:
  explicit BaseState(const Image& image);

  const Image& image() const { return image_; }
  const BlockSource& metadata() const { return metadata_; }

  /// REQUIRES: ino is not 0. `parent` of directories is filled in.
  Result<CatalogInode> inode(Ino ino) const;
  Result<Mapping> mapping(Ino ino) const;
  /// The inodes that share an attribute block.
  std::vector<Ino> users_of_xattrs(BlockNo block) const;
  /// REQUIRES: `block` is of a directory, in the image.
  Result<PackedNames> names(BlockNo block, bool is_first) const;

 private:
  class Metadata : public BlockSource {
   public:
    explicit Metadata(const Image& image) : image_(image) {}
    uint64_t size() const override { return image_.size(); }
    Status read(uint64_t offset, std::span<std::byte> out) const override;

   private:
    const Image& image_;
  };

  const Image& image_;
  Metadata metadata_;
  std::vector<Image::XattrUser> xattr_users_;  // by block
};

}  // namespace ovl
