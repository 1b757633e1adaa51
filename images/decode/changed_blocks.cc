// SPDX-License-Identifier: BSD-3-Clause
#include "images/decode/changed_blocks.h"

#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <cerrno>

namespace ovl {

namespace {

class Sorter {
 public:
  Sorter(const Catalog& catalog, const std::function<bool(BlockNo)>& is_changed)
      : catalog_(catalog), is_changed_(is_changed) {}

  Status take(BlockSet::Run run);
  ChangedBlocks out;

 private:
  void take_owned(const Catalog::Owner& owner, BlockNo block);
  void take_fixed(BlockNo block);
  void take_content(const Catalog::Owner& owner, BlockNo block);

  const Catalog& catalog_;
  const std::function<bool(BlockNo)>& is_changed_;
};

Status Sorter::take(BlockSet::Run run) {
  const uint64_t device = catalog_.base().metadata().size() / kBlockSize;
  if (to_int(run.first) + run.count > device)
    return fail(EINVAL, "a changed block is not on the device");
  while (run.count > 0) {
    Catalog::Owner owner = catalog_.owner_of(run.first, run.count);
    const uint64_t count = owner.count;
    const bool is_journal = to_int(owner.ino) == EXT2_JOURNAL_INO;
    if (owner.use != Catalog::Use::kFree && !is_journal)
      for (uint64_t i = 0; i < count; ++i, ++owner.file_block) {
        const BlockNo block{to_int(run.first) + i};
        if (is_changed_(block))
          take_owned(owner, block);
      }
    run.first = BlockNo{to_int(run.first) + count};
    run.count -= count;
  }
  return {};
}

void Sorter::take_owned(const Catalog::Owner& owner, BlockNo block) {
  switch (owner.use) {
    case Catalog::Use::kContent:
      take_content(owner, block);
      break;
    case Catalog::Use::kMap:
      out.inodes[owner.ino].has_new_map = true;
      break;
    case Catalog::Use::kXattrs:
      out.xattr_blocks.push_back(block);
      break;
    default:
      take_fixed(block);
  }
}

void Sorter::take_content(const Catalog::Owner& owner, BlockNo block) {
  Mapping& content = out.inodes[owner.ino].content;
  const auto device = static_cast<uint32_t>(to_int(block));
  if (!content.empty()) {
    MapRun& last = content.back();
    if (last.device + last.count == device &&
        last.file_block + last.count == owner.file_block) {
      ++last.count;
      return;
    }
  }
  content.push_back({owner.file_block, 1, device, RunKind::kData});
}

void Sorter::take_fixed(BlockNo block) {
  const Image::Owner owner = catalog_.base().image().owner_of(block);
  if (owner.kind == Image::Owner::Kind::kInodeTable)
    out.inode_blocks.push_back(owner.ino);
  else if (owner.kind == Image::Owner::Kind::kGroupMetadata)
    out.group_metadata.push_back(block);
}

}  // namespace

Result<ChangedBlocks> sort_out(const Catalog& catalog, const BlockSet& changed,
                               const std::function<bool(BlockNo)>& is_changed) {
  Sorter sorter(catalog, is_changed);
  OVL_TRY(changed.for_each_run(
      [&sorter](const BlockSet::Run& run) { return sorter.take(run); }));
  return std::move(sorter.out);
}

}  // namespace ovl
