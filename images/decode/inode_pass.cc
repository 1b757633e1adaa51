// SPDX-License-Identifier: BSD-3-Clause
//
// Blocks change hands within one decode, so claims are judged when all inodes
// are known: a block that is claimed now must have been free, or have been let
// go by its owner. Reading the mappings claims blocks first (block_set.h), so
// a guest's pointers are followed at most once for each block of the device.
#include "images/decode/inode_pass.h"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace ovl {

namespace {

constexpr uint32_t kInodesInBlock = kBlockSize / Image::kInodeSize;

Status named(Status status, Ino ino) {
  return std::move(status).in(
      [ino] { return fmt::format("inode {}", to_int(ino)); });
}

}  // namespace

bool is_of_tree(Ino ino) {
  return to_int(ino) == EXT2_ROOT_INO || to_int(ino) >= EXT2_GOOD_OLD_FIRST_INO;
}

int64_t names_of(Ino ino, const CatalogInode& inode) {
  if (!inode.has_names() || to_int(ino) == EXT2_ROOT_INO)
    return 0;
  return inode.is_dir() ? 1 : inode.links;
}

Status InodePass::run(const ChangedBlocks& changed) {
  changed_ = &changed;
  OVL_TRY(take_blocks(changed.inode_blocks));
  OVL_TRY(take_marked(changed));
  OVL_TRY(take_users(changed.xattr_blocks));
  for (InodeChange& change : changes_)
    OVL_TRY(named(check_claims(change), change.ino));
  std::ranges::sort(changes_, {}, &InodeChange::ino);
  for (uint32_t i = 0; i < changes_.size(); ++i)
    index_[to_int(changes_[i].ino)] = i;
  return {};
}

const InodeChange* InodePass::find(Ino ino) const {
  const auto at = index_.find(to_int(ino));
  return at == index_.end() ? nullptr : &changes_[at->second];
}

Result<CatalogInode> InodePass::inode(Ino ino) const {
  const InodeChange* change = find(ino);
  return change == nullptr ? catalog_.inode(ino) : change->after.inode;
}

Status InodePass::take_blocks(const std::vector<Ino>& inode_blocks) {
  std::array<std::byte, kBlockSize> block;
  for (const Ino first : inode_blocks) {
    const BlockNo at = catalog_.base().image().inode_block(first);
    OVL_TRY(view_.read(to_int(at) * kBlockSize, block));
    for (uint32_t i = 0; i < kInodesInBlock; ++i) {
      ExtInode::Bytes bytes;
      std::copy_n(block.begin() + ptrdiff_t{i} * Image::kInodeSize,
                  bytes.size(), bytes.begin());
      const Ino ino{to_int(first) + i};
      OVL_TRY(named(take(ino, ExtInode(bytes)), ino));
    }
  }
  return {};
}

Status InodePass::take_marked(const ChangedBlocks& changed) {
  for (const auto& [ino, parts] : changed.inodes)
    OVL_TRY(named(take(ino), ino));
  return {};
}

Status InodePass::take_users(const std::vector<BlockNo>& xattr_blocks) {
  for (const BlockNo block : xattr_blocks)
    for (const Ino ino : catalog_.users_of_xattrs(block))
      OVL_TRY(named(take(ino), ino));
  return {};
}

Status InodePass::take(Ino ino) {
  if (index_.contains(to_int(ino)))
    return {};
  return take(ino, OVL_TRY(read(ino)));
}

Result<ExtInode> InodePass::read(Ino ino) const {
  const BlockNo block = catalog_.base().image().inode_block(ino);
  const uint32_t in_block = (to_int(ino) - 1) % kInodesInBlock;
  ExtInode::Bytes bytes;
  OVL_TRY(view_.read(
      to_int(block) * kBlockSize + uint64_t{in_block} * Image::kInodeSize,
      bytes));
  return ExtInode(bytes);
}

// The inode that nothing is known of until it is used.
Status InodePass::take(Ino ino, const ExtInode& bytes) {
  InodeChange change{ino, {}, {}, bytes, {}, {}, false, false};
  change.after.inode = OVL_TRY(describe(ino, bytes));
  change.before = OVL_TRY(catalog_.inode(ino));
  if (to_int(ino) == EXT2_ROOT_INO ||
      change.after.inode.said_generation == change.before.said_generation)
    change.after.inode.generation = change.before.generation;
  const auto marked = changed_->inodes.find(ino);
  const bool is_marked = marked != changed_->inodes.end();
  if (!change.is_another() && !change.after.inode.is_free())
    change.after.inode.parent = change.before.parent;
  if (change.after.inode == change.before && !is_marked)
    return {};
  const bool has_new_map = is_marked && marked->second.has_new_map;
  change.is_remapped =
      has_new_map || change.is_another() ||
      change.before.pointer_hash != change.after.inode.pointer_hash ||
      change.before.is_free() || change.after.inode.is_free();
  if (is_marked)
    change.written = marked->second.content;
  if (change.is_remapped) {
    OVL_TRY(map(change));
  } else {
    InodeState before = OVL_TRY(catalog_.state(ino));
    change.after.has_base_mapping = before.has_base_mapping;
    change.after.mapping = std::move(before.mapping);
  }
  index_[to_int(ino)] = static_cast<uint32_t>(changes_.size());
  changes_.push_back(std::move(change));
  return {};
}

// Without links it is one that a guest has open, or free.
Result<CatalogInode> InodePass::describe(Ino ino, const ExtInode& bytes) const {
  if (!OVL_TRY(is_in_use(ino, bytes)))
    return CatalogInode{};
  return describe_inode(view_, bytes);
}

Result<bool> InodePass::is_in_use(Ino ino, const ExtInode& bytes) const {
  if (bytes.mode() == 0 && bytes.links() > 0)
    return fail(EUCLEAN, "it has links and no type");
  if (bytes.mode() == 0 || bytes.links() > 0)
    return bytes.mode() != 0;
  const Image& image = catalog_.base().image();
  const uint32_t index = to_int(ino) - 1;
  const BlockNo bitmap = image.inode_bitmap(index / image.inodes_per_group());
  const uint32_t bit = index % image.inodes_per_group();
  std::array<std::byte, 1> byte;
  OVL_TRY(view_.read(to_int(bitmap) * kBlockSize + bit / 8, byte));
  return (std::to_integer<uint32_t>(byte[0]) >> bit % 8 & 1) != 0;
}

Status InodePass::map(InodeChange& change) {
  change.before_mapping = OVL_TRY(catalog_.mapping(change.ino));
  if (change.after.inode.is_free() || !has_mapping(change.bytes))
    return {};
  change.after.mapping = OVL_TRY(read_mapping(
      view_, change.bytes, [this](BlockNo first, uint64_t count) -> Status {
        if (!claims_.add(first, count))
          return fail(EUCLEAN, fmt::format("a block from {} on is in use twice",
                                           to_int(first)));
        return {};
      }));
  return {};
}

Status InodePass::check_claims(InodeChange& change) {
  OVL_TRY(check_xattr_block(change));
  if (change.is_remapped)
    for (const MapRun& run : change.after.mapping)
      OVL_TRY(check_run(change, run));
  return {};
}

Status InodePass::check_run(InodeChange& change, const MapRun& run) {
  for (uint32_t done = 0; done < run.count;) {
    const BlockNo block{uint64_t{run.device} + done};
    const Catalog::Owner owner = catalog_.owner_of(block, run.count - done);
    const MapRun rest{run.file_block + done, run.count - done,
                      static_cast<uint32_t>(to_int(block)), run.kind};
    OVL_TRY(check_owner(change, rest, block, owner));
    done += static_cast<uint32_t>(owner.count);
  }
  return {};
}

Status InodePass::check_owner(InodeChange& change, const MapRun& run,
                              BlockNo block,
                              const Catalog::Owner& owner) const {
  using Use = Catalog::Use;
  const bool is_own = owner.ino == change.ino;
  if (owner.use == Use::kFixed)
    return fail(EUCLEAN, fmt::format("block {} is the file system's own",
                                     to_int(block)));
  if (owner.use == Use::kXattrs)
    return check_users_left(block);
  if (owner.use == Use::kFree)
    return {};
  if (!is_own && !has_left(owner.ino))
    return fail(EUCLEAN, fmt::format("block {} is of inode {}, too",
                                     to_int(block), to_int(owner.ino)));
  if (owner.use == Use::kContent && run.kind == RunKind::kData &&
      (!is_own || owner.file_block != run.file_block))
    change.has_moved_blocks = true;
  return {};
}

// Has the inode been mapped anew, so that what it has now was claimed?
bool InodePass::has_left(Ino ino) const {
  const auto at = index_.find(to_int(ino));
  return at != index_.end() && changes_[at->second].is_remapped;
}

Status InodePass::check_xattr_block(const InodeChange& change) const {
  const BlockNo block{change.after.inode.xattr_block};
  if (to_int(block) == 0)
    return {};
  const auto bad = [block] {
    return fail(EUCLEAN, fmt::format("its attributes in block {} are not its",
                                     to_int(block)));
  };
  if (claims_.test(block))
    return bad();
  const Catalog::Owner owner = catalog_.owner_of(block, 1);
  const bool is_taken = owner.use == Catalog::Use::kFixed ||
                        ((owner.use == Catalog::Use::kContent ||
                          owner.use == Catalog::Use::kMap) &&
                         !has_left(owner.ino));
  if (is_taken)
    return bad();
  return {};
}

Status InodePass::check_users_left(BlockNo xattr_block) const {
  for (const Ino ino : catalog_.users_of_xattrs(xattr_block)) {
    const auto at = index_.find(to_int(ino));
    if (at == index_.end() ||
        changes_[at->second].after.inode.xattr_block == to_int(xattr_block))
      return fail(EUCLEAN, fmt::format("block {} has attributes of inode {}",
                                       to_int(xattr_block), to_int(ino)));
  }
  return {};
}

}  // namespace ovl
