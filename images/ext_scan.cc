// SPDX-License-Identifier: BSD-3-Clause
//
// Two questions are asked of each inode. Are its blocks where they were, and
// none of them written? Then its content, target or entries are its source's,
// and its claims are known without following a pointer. Is all else that a
// tree shows as it was? Then there is nothing to decode.
#include "images/ext_scan.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "images/block_claims.h"
#include "images/ext_decode.h"
#include "images/ext_inode_table.h"
#include "images/journal_check.h"

namespace ovl {

namespace {

constexpr uint32_t kUnsupportedFlags = EXT4_ENCRYPT_FL | EXT4_VERITY_FL |
                                       EXT4_EA_INODE_FL | EXT4_INLINE_DATA_FL |
                                       EXT4_CASEFOLD_FL;

bool is_file_type(uint16_t mode) {
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) ||
         S_ISBLK(mode) || S_ISFIFO(mode) || S_ISSOCK(mode);
}

bool has_blocks(const ExtInode& inode) {
  return S_ISREG(inode.mode()) || S_ISDIR(inode.mode()) ||
         (S_ISLNK(inode.mode()) && !inode.is_fast_symlink());
}

Status check_plausible(const ExtInode& inode, ext2_filsys fs) {
  if (inode.links() == 0)
    return fail(EUCLEAN, "it is in use, and no name links to it");
  if (!is_file_type(inode.mode()))
    return fail(EUCLEAN, fmt::format("its mode is {:o}", inode.mode()));
  if (!inode.extra_size_is_valid())
    return fail(EUCLEAN, "its extra size makes no sense");
  if ((inode.flags() & kUnsupportedFlags) != 0)
    return fail(EUCLEAN, fmt::format("its flags are {:x}", inode.flags()));
  if (inode.has_extents() && !ext2fs_has_feature_extents(fs->super))
    return fail(EUCLEAN, "it has extents in a file system without");
  return {};
}

bool same_blocks(const ExtInode& a, const ExtInode& b) {
  return a.size() == b.size() && a.has_extents() == b.has_extents() &&
         a.is_fast_symlink() == b.is_fast_symlink() &&
         std::ranges::equal(a.pointers(), b.pointers());
}

class Scanner {
 public:
  Scanner(const ExtReaderInput& input, ext2_filsys fs)
      : input_(input),
        fs_(fs),
        table_(input, fs),
        claims_(ext2fs_blocks_count(fs->super)),
        xattr_blocks_(input.device),
        decoder_(input, xattr_blocks_) {}

  Result<ExtScan> run();

 private:
  Status take_reserved(Ino ino);
  Status take_journal();
  Status take(Ino ino);
  Status take_inode(Ino ino, const ExtInode& inode);
  std::optional<SourceInode> source_of(Ino ino, const ExtInode& inode) const;
  bool has_blocks_of(const SourceInode& source, const ExtInode& inode) const;
  bool is_unchanged(const SourceInode& source, const ExtInode& inode) const;
  Result<uint64_t> claim_as_source(NodeId source);
  Result<BlockMap> claim_map(Ino ino, const ExtInode& inode);
  Status check_allocation(const ExtInode& inode, uint64_t blocks) const;
  Status decode(const DecodeInput& in, FoundInode& found);
  Status read_names(const DecodeInput& in, FoundInode& found);

  const ExtReaderInput& input_;
  ext2_filsys fs_;
  InodeTable table_;
  BlockClaims claims_;
  XattrBlocks xattr_blocks_;
  InodeDecoder decoder_;
  ExtScan scan_;
};

Result<ExtScan> Scanner::run() {
  OVL_TRY(claim_metadata(fs_, claims_));
  const std::vector<Ino> used = OVL_TRY(used_inodes(fs_));
  for (uint32_t ino = 1; ino < EXT2_GOOD_OLD_FIRST_INO; ++ino)
    if (ino != EXT2_ROOT_INO)
      OVL_TRY(take_reserved(Ino{ino}).in(fmt::format("inode {}", ino)));
  scan_.inodes.reserve(used.size());
  for (const Ino ino : used)
    if (to_int(ino) == EXT2_ROOT_INO || to_int(ino) >= EXT2_GOOD_OLD_FIRST_INO)
      OVL_TRY(take(ino).in(fmt::format("inode {}", to_int(ino))));
  OVL_TRY(xattr_blocks_.check_users());
  OVL_TRY(claims_.check_against_bitmap(fs_));
  return std::move(scan_);
}

// Of the reserved inodes only the journal may have anything.
Status Scanner::take_reserved(Ino ino) {
  if (to_int(ino) == EXT2_JOURNAL_INO && ext2fs_has_feature_journal(fs_->super))
    return take_journal();
  const ExtInode inode = OVL_TRY(table_.read(ino));
  if (inode.allocated_bytes() != 0)
    return fail(ENOTSUP, "a reserved inode has blocks");
  return {};
}

Status Scanner::take_journal() {
  const Ino ino{EXT2_JOURNAL_INO};
  const ExtInode inode = OVL_TRY(table_.read(ino));
  if (fs_->super->s_journal_inum != EXT2_JOURNAL_INO ||
      !S_ISREG(inode.mode()) || inode.xattr_block() != 0)
    return fail(EUCLEAN, "the journal is not where it belongs");
  const BlockMap map = OVL_TRY(claim_map(ino, inode));
  return check_journal_is_empty(input_.device, map);
}

Status Scanner::take(Ino ino) {
  const ExtInode inode = OVL_TRY(table_.read(ino));
  OVL_TRY(check_plausible(inode, fs_));
  return take_inode(ino, inode);
}

Status Scanner::take_inode(Ino ino, const ExtInode& inode) {
  const std::optional<SourceInode> source = source_of(ino, inode);
  FoundInode found{.ino = ino, .links = inode.links(), .mode = inode.mode()};
  if (source.has_value()) {
    found.source = source->node;
    found.same_links = source->inode.links() == inode.links();
  }
  DecodeInput in{ino, inode, source.has_value() ? &*source : nullptr};
  if (inode.xattr_block() != 0)
    OVL_TRY(xattr_blocks_.use(BlockNo{inode.xattr_block()}, claims_));

  BlockMap map;
  if (source.has_value() && has_blocks_of(*source, inode)) {
    map.blocks = OVL_TRY(claim_as_source(source->node));
  } else if (has_blocks(inode)) {
    map = OVL_TRY(claim_map(ino, inode));
    in.map = &map;
  }
  OVL_TRY(check_allocation(inode, map.blocks));
  const bool unchanged =
      in.map == nullptr && source.has_value() && is_unchanged(*source, inode);
  if (!unchanged)
    OVL_TRY(decode(in, found));
  scan_.inodes.push_back(found);
  return {};
}

// The same number, generation and type: still the object it was.
std::optional<SourceInode> Scanner::source_of(Ino ino,
                                              const ExtInode& inode) const {
  const NodeId node = input_.base.node_of(ino);
  if (node == kNoNode)
    return std::nullopt;
  SourceInode source{node, ExtInode(input_.base.inode_bytes(ino))};
  if (source.inode.generation() != inode.generation() ||
      (source.inode.mode() & S_IFMT) != (inode.mode() & S_IFMT))
    return std::nullopt;
  return source;
}

bool Scanner::has_blocks_of(const SourceInode& source,
                            const ExtInode& inode) const {
  if (!same_blocks(source.inode, inode))
    return false;
  const auto runs = input_.base.blocks_of(source.node);
  return std::ranges::none_of(runs, [this](const Image::BlockRun& run) {
    return input_.any_written(run.first, run.count);
  });
}

bool Scanner::is_unchanged(const SourceInode& source,
                           const ExtInode& inode) const {
  const BlockNo xattrs{inode.xattr_block()};
  return same_but_for_times(source.inode, inode) &&
         (to_int(xattrs) == 0 || !input_.any_written(xattrs, 1));
}

Result<uint64_t> Scanner::claim_as_source(NodeId source) {
  uint64_t blocks = 0;
  for (const Image::BlockRun& run : input_.base.blocks_of(source)) {
    OVL_TRY(claims_.claim(run.first, run.count));
    blocks += run.count;
  }
  return blocks;
}

Result<BlockMap> Scanner::claim_map(Ino ino, const ExtInode& inode) {
  return read_block_map(fs_, ino, inode, [this](BlockNo first, uint64_t count) {
    return claims_.claim(first, count);
  });
}

Status Scanner::check_allocation(const ExtInode& inode, uint64_t blocks) const {
  const uint64_t all = blocks + (inode.xattr_block() != 0 ? 1 : 0);
  if (inode.allocated_bytes() != all * kBlockSize)
    return fail(EUCLEAN, fmt::format("it has {} blocks and says {} bytes", all,
                                     inode.allocated_bytes()));
  return {};
}

Status Scanner::decode(const DecodeInput& in, FoundInode& found) {
  const Node node = OVL_TRY(decoder_.decode(in));
  if (node.is_dir() && in.map != nullptr)
    OVL_TRY(read_names(in, found));
  if (decoder_.is_as_source(node))
    return {};
  found.changed = static_cast<uint32_t>(scan_.changed.size());
  scan_.changed.push_back(node);
  return {};
}

Status Scanner::read_names(const DecodeInput& in, FoundInode& found) {
  DirContent content = OVL_TRY(
      read_directory(input_.device, *in.map, in.inode.size(), scan_.names));
  if (content.self != in.ino)
    return fail(EUCLEAN, "its '.' is another inode");
  found.names = static_cast<uint32_t>(scan_.directories.size());
  scan_.directories.push_back(std::move(content));
  return {};
}

}  // namespace

uint32_t ExtScan::find(Ino ino) const {
  const auto at = std::ranges::lower_bound(inodes, ino, {}, &FoundInode::ino);
  if (at == inodes.end() || at->ino != ino)
    return kNone;
  return static_cast<uint32_t>(at - inodes.begin());
}

Result<ExtScan> scan_inodes(const ExtReaderInput& input, ext2_filsys fs) {
  return Scanner(input, fs).run();
}

}  // namespace ovl
