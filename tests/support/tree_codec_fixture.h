// SPDX-License-Identifier: BSD-3-Clause
//
// What the tests of written trees share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fsengine/base/checked_file.h"
#include "fsengine/base/tree_codec.h"
#include "images/image.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_builder.h"

namespace ovl {

inline constexpr FileKind kTreesFile{
    "trees", "trees.new", {'t', 'e', 's', 't', 't', 'r', 'e', 'e'}, 1};

/// Writes trees to a file, and reads them back.
class TreeCodec : public ::testing::Test {
 protected:
  Status write(const PoolPart& part) {
    CheckedWriter out =
        OVL_TRY(CheckedWriter::create(host_os(), fd_.get(), kTreesFile));
    OVL_TRY(write_trees(out, part));
    return out.commit();
  }

  Result<PooledTrees> read(uint32_t layers) {
    CheckedReader in = OVL_TRY(CheckedReader::open(fd_.get(), kTreesFile));
    auto trees = OVL_TRY(read_trees(in, layers));
    OVL_TRY(in.finish());
    return trees;
  }

  std::string path() const { return temp_.path(kTreesFile.name); }

  TempDir temp_;
  Fd fd_ = open_dir(temp_.path());
};

/// All that a node is, as lines.
inline std::vector<std::string> lines_of(const NodePool& pool, NodeId id) {
  const Node& node = pool[id];
  std::vector<std::string> lines{
      std::to_string(node.mode) + " " + std::to_string(node.size) + " " +
          std::to_string(node.mtime_sec) + " " +
          std::to_string(node.mtime_nsec) + " " + std::to_string(node.uid) +
          " " + std::to_string(node.gid) + " " + std::to_string(node.host_ino),
      std::to_string(node.layer) + " " + std::to_string(node.marks) + " " +
          std::to_string(node.flags) + " " + std::to_string(node.ctime_tag) +
          " " + std::to_string(to_int(node.host_dir)) + " " +
          std::to_string(to_int(node.source)) + " " + host_path(pool, node)};
  if (node.has_redirect)
    lines.push_back("to " + std::string(pool.strings.get(node.redirect)));
  if (node.is_symlink())
    lines.push_back("-> " + std::string(pool.strings.get(node.target)));
  if (node.is_device())
    lines.push_back("device " + std::to_string(node.rdev.packed));
  if (node.is_dir())
    lines.push_back("over " + std::to_string(to_int(node.lower)));
  if (node.is_regular())
    for (const DataRun& run : data_runs(pool, node))
      lines.push_back("run " + std::to_string(run.first_block) + " " +
                      std::to_string(run.blocks));
  for (const Xattr& xattr : pool.xattrs.get(node.xattrs))
    lines.push_back(xattr.name + "=" + xattr.value);
  for (const Entry& entry : pool.entries(node))
    lines.push_back("has " + std::string(pool.name(entry)) + " " +
                    std::to_string(to_int(entry.node)));
  return lines;
}

/// A small image of the two trees; null when they make none.
inline std::unique_ptr<Image> image_of(const NodePool& pool, NodeId lower,
                                       NodeId merged) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kFreeSpace, 1 << 16};
  options.journal = false;
  auto image = Image::build({pool, lower}, {pool, merged}, options);
  return image ? std::move(*image) : nullptr;
}

}  // namespace ovl
