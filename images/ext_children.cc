// SPDX-License-Identifier: BSD-3-Clause
#include "images/ext_children.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include <fmt/format.h>

namespace ovl {

namespace {

tl::unexpected<Error> bad_name(std::string_view name, const std::string& what) {
  return fail(EUCLEAN, fmt::format("name '{}' {}", name, what));
}

Result<uint32_t> find_target(const ExtScan& scan, std::string_view name,
                             Ino ino) {
  const uint32_t index = scan.find(ino);
  if (index == kNone)
    return bad_name(
        name, fmt::format("leads to inode {}, which is free", to_int(ino)));
  return index;
}

Result<std::vector<Child>> children_of_source(const ExtReaderInput& input,
                                              const ExtScan& scan,
                                              NodeId source) {
  std::vector<Child> children;
  for (const Entry& entry : input.pool.entries(source)) {
    const std::string_view name = input.pool.name(entry);
    const uint32_t index =
        OVL_TRY(find_target(scan, name, input.base.ino_of(entry.node)));
    const bool same = scan.inodes[index].source == entry.node;
    children.push_back({name, index, entry.name, same});
  }
  return children;
}

// Notes which of the names the source has too; both are sorted.
void match_with_source(const ExtReaderInput& input, const ExtScan& scan,
                       NodeId source, std::vector<Child>& children) {
  const auto entries = input.pool.entries(source);
  auto entry = entries.begin();
  for (Child& child : children) {
    while (entry != entries.end() && input.pool.name(*entry) < child.name)
      ++entry;
    if (entry == entries.end())
      return;
    if (input.pool.name(*entry) != child.name)
      continue;
    child.kept = entry->name;
    child.same = scan.inodes[child.inode].source == entry->node;
  }
}

Result<std::vector<Child>> children_as_read(const ExtScan& scan,
                                            const DirContent& content) {
  std::vector<Child> children;
  for (const DirName& name : content.names) {
    const uint32_t index = OVL_TRY(find_target(scan, name.name, name.ino));
    if (name.file_type != EXT2_FT_UNKNOWN &&
        name.file_type != ext_file_type(scan.inodes[index].mode))
      return bad_name(name.name, "tells a wrong file type");
    children.push_back({.name = name.name, .inode = index});
  }
  return children;
}

}  // namespace

Result<std::vector<Child>> children_of(const ExtReaderInput& input,
                                       const ExtScan& scan, uint32_t index) {
  const FoundInode& directory = scan.inodes[index];
  if (directory.names == kNone)
    return children_of_source(input, scan, directory.source);
  std::vector<Child> children =
      OVL_TRY(children_as_read(scan, scan.directories[directory.names]));
  if (directory.source != kNoNode)
    match_with_source(input, scan, directory.source, children);
  return children;
}

}  // namespace ovl
