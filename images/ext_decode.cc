// SPDX-License-Identifier: BSD-3-Clause
//
// Where the raw bytes of a field are those that were synthesized, the source's
// value is taken and not the decoded one: an image cannot show everything (a
// date too far, an attribute too large), and what it could not show is not a
// change.
#include "images/ext_decode.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "images/ext_file.h"
#include "images/ext_xattr_reader.h"

namespace ovl {

namespace {

constexpr uint32_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint64_t kMaxFileBlocks = UINT32_MAX;

// What lies below the end of the file.
std::vector<DataRun> visible_runs(const BlockMap& map, uint64_t end) {
  std::vector<DataRun> runs;
  for (const MappedRun& run : map.runs) {
    if (run.file_block >= end)
      break;
    const auto first = static_cast<uint32_t>(run.file_block);
    const auto count =
        static_cast<uint32_t>(std::min(run.count, end - run.file_block));
    if (!runs.empty() && runs.back().first_block + runs.back().blocks == first)
      runs.back().blocks += count;
    else
      runs.push_back({first, count});
  }
  return runs;
}

HoleMap hole_map(const BlockMap& map, uint64_t end) {
  std::vector<DataRun> runs = visible_runs(map, end);
  const bool full = end == 0 || (runs.size() == 1 && runs[0].blocks == end &&
                                 runs[0].first_block == 0);
  if (full)
    return {};
  return {true, std::move(runs)};
}

uint64_t count_blocks(const std::vector<DataRun>& runs) {
  uint64_t blocks = 0;
  for (const DataRun& run : runs)
    blocks += run.blocks;
  return blocks;
}

uint8_t node_flags(uint32_t bits) {
  const int immutable = (bits & EXT2_IMMUTABLE_FL) != 0 ? kFlagImmutable : 0;
  const int append = (bits & EXT2_APPEND_FL) != 0 ? kFlagAppend : 0;
  return static_cast<uint8_t>(immutable | append);
}

}  // namespace

Result<Node> InodeDecoder::decode(const DecodeInput& in) const {
  Node node;
  node.origin = Origin::kGuest;
  node.host_ino = to_int(in.ino);
  node.source = in.source == nullptr ? kNoNode : in.source->node;
  node.mode = in.inode.mode();
  node.uid = in.inode.uid();
  node.gid = in.inode.gid();
  node.flags = node_flags(in.inode.flags());
  OVL_TRY(decode_mtime(in, node));
  OVL_TRY(decode_xattrs(in, node));
  OVL_TRY(decode_content(in, node));
  return node;
}

bool InodeDecoder::is_as_source(const Node& node) const {
  if (node.source == kNoNode || node.content_changed)
    return false;
  const Node& source = input_.pool[node.source];
  return same_attributes(node, source) && node.size == source.size;
}

Status InodeDecoder::decode_mtime(const DecodeInput& in, Node& node) const {
  ExtTime time = in.inode.mtime();
  if (in.source != nullptr && time == in.source->inode.mtime()) {
    const Node& source = input_.pool[in.source->node];
    time = {source.mtime_sec, source.mtime_nsec};
  }
  if (time.nsec >= kNanosecondsPerSecond)
    return fail(EUCLEAN, "its time has too many nanoseconds");
  node.mtime_sec = time.sec;
  node.mtime_nsec = time.nsec;
  return {};
}

bool InodeDecoder::has_xattrs_of_source(const DecodeInput& in) const {
  if (in.source == nullptr)
    return false;
  const uint64_t block = in.inode.xattr_block();
  return block == in.source->inode.xattr_block() &&
         std::ranges::equal(in.inode.xattr_area(),
                            in.source->inode.xattr_area()) &&
         (block == 0 || !input_.any_written(BlockNo{block}, 1));
}

Status InodeDecoder::decode_xattrs(const DecodeInput& in, Node& node) const {
  if (has_xattrs_of_source(in)) {
    node.xattrs = input_.pool[in.source->node].xattrs;
    return {};
  }
  XattrSet set;
  OVL_TRY(read_inode_xattrs(in.inode.xattr_area(), set));
  if (in.inode.xattr_block() != 0)
    OVL_TRY(xattr_blocks_.read(BlockNo{in.inode.xattr_block()}, set));
  sort_xattrs(set);
  node.xattrs = input_.pool.xattrs.intern(std::move(set));
  return {};
}

Status InodeDecoder::decode_content(const DecodeInput& in, Node& node) const {
  if (node.is_regular())
    return decode_regular(in, node);
  if (node.is_symlink())
    return decode_symlink(in, node);
  if (node.is_dir())
    node.lower = kNoNode;
  else if (node.is_device())
    node.rdev = in.inode.rdev();
  return {};
}

// Every visible block is where it was, none was written, none is missing.
bool InodeDecoder::has_content_of_source(const DecodeInput& in) const {
  if (in.source == nullptr)
    return false;
  if (in.map == nullptr)
    return true;
  const Node& source = input_.pool[in.source->node];
  if (source.size != in.inode.size())
    return false;
  const uint64_t end = blocks_for(source.size);
  uint64_t visible = 0;
  for (const MappedRun& run : in.map->runs) {
    const uint64_t past = std::min(end, run.file_block + run.count);
    for (uint64_t at = run.file_block; at < past; ++at, ++visible) {
      const BlockNo block{to_int(run.device) + (at - run.file_block)};
      if (input_.base.block_of(in.source->node, at) != block)
        return false;
    }
    if (past > run.file_block &&
        input_.any_written(run.device, past - run.file_block))
      return false;
  }
  return visible == count_blocks(data_runs(input_.pool, source));
}

bool InodeDecoder::has_target_of_source(const DecodeInput& in) const {
  const ExtInode& old = in.source->inode;
  return in.map == nullptr && in.inode.size() == old.size() &&
         in.inode.is_fast_symlink() == old.is_fast_symlink() &&
         std::ranges::equal(in.inode.pointers(), old.pointers());
}

Status InodeDecoder::decode_regular(const DecodeInput& in, Node& node) const {
  node.size = in.inode.size();
  if (blocks_for(node.size) > kMaxFileBlocks)
    return fail(EUCLEAN, fmt::format("its size is {}", node.size));
  if (has_content_of_source(in)) {
    node.holes = input_.pool[in.source->node].holes;
    return {};
  }
  const BlockMap none;
  const BlockMap& map = in.map == nullptr ? none : *in.map;
  node.holes =
      input_.pool.hole_maps.intern(hole_map(map, blocks_for(node.size)));
  node.content_changed = true;
  return {};
}

Status InodeDecoder::decode_symlink(const DecodeInput& in, Node& node) const {
  node.size = in.inode.size();
  if (in.source != nullptr && has_target_of_source(in)) {
    node.target = input_.pool[in.source->node].target;
    return {};
  }
  const std::string target =
      OVL_TRY(read_target(input_.device, in.inode, in.map));
  StringPool& strings = input_.pool.strings;
  if (strings.full())
    return fail(ENOMEM, "too many names");
  node.target = strings.add(target);
  node.content_changed = true;
  return {};
}

}  // namespace ovl
