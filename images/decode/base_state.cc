// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/base_state.h"

#include <algorithm>
#include <cerrno>

#include "images/ext_dir_block.h"

namespace ovl {

BaseState::BaseState(const Image& image)
    : image_(image), metadata_(image), xattr_users_(image.xattr_users()) {
  std::ranges::stable_sort(xattr_users_, {}, &Image::XattrUser::block);
}

std::vector<Ino> BaseState::users_of_xattrs(BlockNo block) const {
  std::vector<Ino> users;
  for (auto at = std::ranges::lower_bound(xattr_users_, block, {},
                                          &Image::XattrUser::block);
       at != xattr_users_.end() && at->block == block; ++at)
    users.push_back(at->ino);
  return users;
}

Status BaseState::Metadata::read(uint64_t offset,
                                 std::span<std::byte> out) const {
  while (!out.empty()) {
    const Segment segment = image_.resolve(offset, out.size());
    const auto part = out.first(static_cast<size_t>(segment.length));
    if (segment.kind == Segment::Kind::kFile)
      return fail(EIO, "a file's block is no metadata");
    if (segment.kind == Segment::Kind::kMetadata)
      image_.read_metadata(offset, part);
    else
      std::ranges::fill(part, std::byte{0});
    out = out.subspan(part.size());
    offset += segment.length;
  }
  return {};
}

Result<CatalogInode> BaseState::inode(Ino ino) const {
  const ExtInode bytes(image_.inode_bytes(ino));
  CatalogInode inode = OVL_TRY(describe_inode(metadata_, bytes));
  if (inode.is_dir())
    inode.parent = to_int(image_.parent_of(ino));
  return inode;
}

Result<Mapping> BaseState::mapping(Ino ino) const {
  const ExtInode inode(image_.inode_bytes(ino));
  if (!has_mapping(inode))
    return Mapping{};
  return read_mapping(metadata_, inode,
                      [](BlockNo, uint64_t) { return Status(); });
}

Result<PackedNames> BaseState::names(BlockNo block, bool is_first) const {
  DirBlockBytes bytes;
  OVL_TRY(metadata_.read(to_int(block) * kBlockSize, bytes));
  DirBlockContent content = OVL_TRY(parse_dir_block(bytes, is_first));
  return PackedNames::pack(std::move(content.names));
}

}  // namespace ovl
