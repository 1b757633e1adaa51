// SPDX-License-Identifier: BSD-3-Clause
//
// Three passes, each of them linear: inodes (ext_scan), names (ext_links),
// nodes (ext_tree_builder). The work is bounded by the device, whatever its
// bytes say, because each block is claimed once (block_claims) and each
// directory entered once. libext2fs opens the file system, reads the bitmaps
// and follows indirect and extent trees; directories and attributes are parsed
// here, because its parsers repair where this has to refuse.
#include "images/ext_reader.h"

#include <cerrno>

#include <fmt/format.h>

#include "images/ext_file.h"
#include "images/ext_inode_table.h"
#include "images/ext_links.h"
#include "images/ext_scan.h"
#include "images/ext_superblock.h"
#include "images/ext_tree_builder.h"

namespace ovl {

struct ExtReader::Impl {
  Impl(ExtReaderInput in, Ext2Fs file_system)
      : input(std::move(in)), fs(std::move(file_system)) {}

  Result<ExtInode> inode(Ino ino);

  ExtReaderInput input;
  Ext2Fs fs;
  bool has_bitmaps = false;
};

ExtReader::ExtReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExtReader::~ExtReader() = default;

Result<std::unique_ptr<ExtReader>> ExtReader::open(ExtReaderInput input) {
  OVL_TRY(check_superblock(input.device, input.base.uuid()));
  Ext2Fs fs = OVL_TRY(open_ext2(input.device));
  auto impl = std::make_unique<Impl>(std::move(input), std::move(fs));
  return std::unique_ptr<ExtReader>(new ExtReader(std::move(impl)));
}

Result<Tree> ExtReader::read_tree() {
  ext2_filsys fs = impl_->fs.get();
  if (!impl_->has_bitmaps)
    OVL_TRY(ext2_status(ext2fs_read_bitmaps(fs), "read the bitmaps"));
  impl_->has_bitmaps = true;
  const ExtScan scan = OVL_TRY(scan_inodes(impl_->input, fs));
  const ExtLinks links = OVL_TRY(check_links(impl_->input, scan));
  return build_guest_tree(impl_->input, scan, links);
}

Result<ExtInode> ExtReader::Impl::inode(Ino ino) {
  if (to_int(ino) == 0 || to_int(ino) > fs->super->s_inodes_count)
    return fail(EINVAL, "there is no such inode");
  InodeTable table(input, fs.get());
  const ExtInode found = OVL_TRY(table.read(ino));
  if (!S_ISREG(found.mode()))
    return fail(EINVAL, "it is not a regular file");
  return found;
}

uint64_t ExtReader::free_run(BlockNo first, uint64_t max) const {
  ext2_filsys fs = impl_->fs.get();
  uint64_t count = 0;
  while (count < max &&
         ext2fs_test_block_bitmap2(fs->block_map, to_int(first) + count) == 0)
    ++count;
  return count;
}

Result<std::unique_ptr<BlockSource>> ExtReader::open_file(Ino ino) {
  const std::string context = fmt::format("inode {}", to_int(ino));
  const ExtInode inode = OVL_TRY(impl_->inode(ino).in(context));
  ext2_filsys fs = impl_->fs.get();
  // A map that was not checked may lead in circles.
  uint64_t budget = ext2fs_blocks_count(fs->super);
  const auto visit = [&budget](BlockNo, uint64_t count) -> Status {
    if (count > budget)
      return fail(EUCLEAN, "it has more blocks than the device");
    budget -= count;
    return {};
  };
  BlockMap map = OVL_TRY(read_block_map(fs, ino, inode, visit).in(context));
  return std::make_unique<ExtFile>(impl_->input.device, std::move(map.runs),
                                   inode.size());
}

}  // namespace ovl
