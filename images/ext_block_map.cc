// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_block_map.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>

namespace ovl {

namespace {

void add_run(BlockMap& map, const MappedRun& run) {
  if (!map.runs.empty()) {
    MappedRun& last = map.runs.back();
    if (last.file_block + last.count == run.file_block &&
        to_int(last.device) + last.count == to_int(run.device)) {
      last.count += run.count;
      return;
    }
  }
  map.runs.push_back(run);
}

struct IndirectWalk {
  const BlockVisitor& visit;
  BlockMap map;
  std::optional<Error> error;
};

Status take_block(IndirectWalk& walk, uint64_t block, int64_t file_block) {
  OVL_TRY(walk.visit(BlockNo{block}, 1));
  ++walk.map.blocks;
  if (file_block < 0)
    return {};
  const auto index = static_cast<uint64_t>(file_block);
  add_run(walk.map, {index, BlockNo{block}, 1});
  walk.map.data_end = index + 1;
  return {};
}

// libext2fs wants six parameters. NOLINTNEXTLINE(readability-function-size)
int on_block(ext2_filsys, blk64_t* block, e2_blkcnt_t file_block, blk64_t, int,
             void* data) noexcept {
  auto& walk = *static_cast<IndirectWalk*>(data);
  try {
    const Status status = take_block(walk, *block, file_block);
    if (status.has_value())
      return 0;
    walk.error = status.error();
  } catch (const std::bad_alloc&) {
    walk.error = Error(ENOMEM, "no memory for the map of a file");
  }
  return BLOCK_ABORT;
}

Result<BlockMap> read_indirect(ext2_filsys fs, Ino ino,
                               const BlockVisitor& visit) {
  IndirectWalk walk{visit, {}, {}};
  const errcode_t code = ext2fs_block_iterate3(
      fs, to_int(ino), BLOCK_FLAG_READ_ONLY, nullptr, on_block, &walk);
  if (walk.error.has_value())
    return tl::unexpected(*walk.error);
  if (code != 0)
    return ext2_error(code, "read the block map");
  return std::move(walk.map);
}

struct FreeExtents {
  void operator()(ext2_extent_handle* handle) const {
    ext2fs_extent_free(handle);
  }
};
using Extents = std::unique_ptr<ext2_extent_handle, FreeExtents>;

Result<Extents> open_extents(ext2_filsys fs, Ino ino) {
  ext2_extent_handle_t handle = nullptr;
  const errcode_t code = ext2fs_extent_open(fs, to_int(ino), &handle);
  if (code != 0)
    return ext2_error(code, "read the extents");
  return Extents(handle);
}

Status take_extent(BlockMap& map, const ext2fs_extent& extent,
                   const BlockVisitor& visit) {
  const bool leaf = (extent.e_flags & EXT2_EXTENT_FLAGS_LEAF) != 0;
  if ((extent.e_flags & EXT2_EXTENT_FLAGS_SECOND_VISIT) != 0)
    return {};
  const uint64_t blocks = leaf ? extent.e_len : 1;
  OVL_TRY(visit(BlockNo{extent.e_pblk}, blocks));
  map.blocks += blocks;
  if (!leaf)
    return {};
  if (extent.e_lblk < map.data_end || extent.e_len == 0)
    return fail(EUCLEAN, "extents are out of order");
  map.data_end = extent.e_lblk + extent.e_len;
  if ((extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT) == 0)
    add_run(map, {extent.e_lblk, BlockNo{extent.e_pblk}, extent.e_len});
  return {};
}

Result<BlockMap> read_extents(ext2_filsys fs, Ino ino,
                              const BlockVisitor& visit) {
  const Extents handle = OVL_TRY(open_extents(fs, ino));
  BlockMap map;
  ext2fs_extent extent{};
  errcode_t code = ext2fs_extent_get(handle.get(), EXT2_EXTENT_ROOT, &extent);
  while (code == 0) {
    OVL_TRY(take_extent(map, extent, visit));
    code = ext2fs_extent_get(handle.get(), EXT2_EXTENT_NEXT, &extent);
  }
  if (code != EXT2_ET_EXTENT_NO_NEXT && code != EXT2_ET_NO_CURRENT_NODE)
    return ext2_error(code, "read the extents");
  return map;
}

}  // namespace

Result<BlockMap> read_block_map(ext2_filsys fs, Ino ino, const ExtInode& inode,
                                const BlockVisitor& visit) {
  if (inode.has_extents())
    return read_extents(fs, ino, visit);
  return read_indirect(fs, ino, visit);
}

}  // namespace ovl
