// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_dir_reader.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include <fmt/format.h>

namespace ovl {

namespace {

tl::unexpected<Error> bad(const std::string& what) {
  return fail(EUCLEAN, "directory: " + what);
}

Result<DirBlockContent> read_block(const BlockSource& device, uint64_t block,
                                   bool is_first, DirBlockBytes& bytes) {
  OVL_TRY(device.read(block * kBlockSize, bytes));
  return parse_dir_block(bytes, is_first);
}

Status keep_names(const DirBlockContent& block, StringPool& pool,
                  DirContent& out) {
  for (DirName name : block.names) {
    if (pool.full())
      return fail(ENOMEM, "too many names");
    name.name = pool.get(pool.add(name.name));
    out.names.push_back(name);
  }
  return {};
}

Status read_names(const BlockSource& device, const MappedRun& run,
                  StringPool& pool, DirContent& out) {
  DirBlockBytes bytes;
  for (uint64_t i = 0; i < run.count; ++i) {
    const bool is_first = run.file_block + i == 0;
    const DirBlockContent block =
        OVL_TRY(read_block(device, to_int(run.device) + i, is_first, bytes));
    if (is_first) {
      out.self = block.self;
      out.parent = block.parent;
    }
    OVL_TRY(keep_names(block, pool, out));
  }
  return {};
}

Status check_extent(const BlockMap& map, uint64_t size) {
  if (size == 0 || size % kBlockSize != 0)
    return bad(fmt::format("its size is {}", size));
  uint64_t at = 0;
  for (const MappedRun& run : map.runs) {
    if (run.file_block != at)
      return bad(fmt::format("it has a hole at block {}", at));
    at += run.count;
  }
  if (at != size / kBlockSize || map.data_end != at)
    return bad("its size is not that of its blocks");
  return {};
}

}  // namespace

Result<DirContent> read_directory(const BlockSource& device,
                                  const BlockMap& map, uint64_t size,
                                  StringPool& names) {
  OVL_TRY(check_extent(map, size));
  DirContent content;
  for (const MappedRun& run : map.runs)
    OVL_TRY(read_names(device, run, names, content));
  std::ranges::sort(content.names, {}, &DirName::name);
  const auto twice =
      std::ranges::adjacent_find(content.names, {}, &DirName::name);
  if (twice != content.names.end())
    return bad(fmt::format("name '{}' is there twice", twice->name));
  return content;
}

Result<Ino> read_parent(const BlockSource& device, BlockNo first_block) {
  DirBlockBytes bytes;
  const DirBlockContent block =
      OVL_TRY(read_block(device, to_int(first_block), true, bytes));
  return block.parent;
}

}  // namespace ovl
