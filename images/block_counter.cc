// SPDX-License-Identifier: BSD-3-Clause
#include "images/block_counter.h"

#include <algorithm>
#include <cerrno>

#include "images/dir_block.h"
#include "images/inode_record.h"

namespace ovl {

Result<uint32_t> BlockCounter::count(const Node& node, Ino parent) {
  if (node.is_dir())
    return add_directory(node, parent);
  if (node.is_regular())
    return file_blocks(node);
  if (node.is_symlink())
    return symlink_blocks(node);
  return 0;
}

Result<uint32_t> BlockCounter::add_directory(const Node& node, Ino parent) {
  const auto entries = pool_.entries(node);
  const bool too_long =
      std::ranges::any_of(entries, [this](const Entry& entry) {
        return pool_.name(entry).size() > kMaxNameBytes;
      });
  if (too_long)
    return fail(ENAMETOOLONG, "has a name of more than 255 bytes");
  DirRecord record{static_cast<uint32_t>(tables_.slots.size()), parent, 0,
                   static_cast<uint32_t>(tables_.dir_starts.size())};
  record.blocks = pack_directory(pool_, entries, tables_.dir_starts);
  if (record.blocks > HashedDirectory::kMostLinearBlocks)
    add_index(entries, record);
  tables_.directories.push_back(record);
  return FileMap::dense(record.blocks, tables_.type).blocks();
}

void BlockCounter::add_index(std::span<const Entry> entries,
                             DirRecord& record) {
  auto hashed = HashedDirectory::make(pool_, entries, tables_.hash_seed);
  if (!hashed)
    return;
  tables_.dir_starts.resize(record.starts);
  record.blocks = hashed->blocks();
  tables_.hashed_directories.emplace_back(record.slot, std::move(*hashed));
}

uint64_t BlockCounter::most_file_blocks() const {
  return tables_.type == FsType::kExt4 ? FileMap::kMaxExtentFileBlocks
                                       : FileMap::kMaxFileBlocks;
}

tl::unexpected<Error> BlockCounter::too_large(const Node& node) const {
  return fail(EFBIG, std::to_string(node.size) +
                         " bytes are more than a file on " +
                         (tables_.type == FsType::kExt4 ? "ext4" : "ext2") +
                         " can have");
}

Result<uint32_t> BlockCounter::file_blocks(const Node& node) {
  const uint64_t size_blocks = blocks_for(node.size);
  if (size_blocks > most_file_blocks())
    return too_large(node);
  const HoleMap& holes = pool_.hole_maps.get(node.holes);
  if (!holes.sparse && size_blocks > FileMap::kMaxExtentData)
    return too_large(node);
  if (!holes.sparse)
    return FileMap::dense(static_cast<uint32_t>(size_blocks), tables_.type)
        .blocks();
  if (!holes.runs.empty() &&
      uint64_t{holes.runs.back().first_block} + holes.runs.back().blocks >
          size_blocks)
    return fail(EINVAL, "has data beyond its end");
  const FileMap map = sparse_map(node.holes);
  if (map.data_blocks() > FileMap::kMaxExtentData)
    return too_large(node);
  return map.blocks();
}

FileMap BlockCounter::sparse_map(HoleMapId holes) {
  auto& [first, end] = tables_.hole_runs[static_cast<uint32_t>(holes)];
  if (first == end) {
    first = static_cast<uint32_t>(tables_.ranked_runs.size());
    rank_runs(pool_.hole_maps.get(holes).runs, tables_.ranked_runs);
    end = static_cast<uint32_t>(tables_.ranked_runs.size());
  }
  return FileMap(std::span(tables_.ranked_runs).subspan(first, end - first),
                 tables_.type);
}

Result<uint32_t> BlockCounter::symlink_blocks(const Node& node) const {
  const size_t bytes = pool_.strings.get(node.target).size();
  if (bytes >= kBlockSize)
    return fail(ENAMETOOLONG, "the target is longer than 4095 bytes");
  return bytes < kFastSymlinkBytes ? 0 : 1;
}

}  // namespace ovl
