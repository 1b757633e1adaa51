// SPDX-License-Identifier: BSD-3-Clause
//
// A directory is entered at most once, because a second name for it is an
// error. So the walk ends, and a cycle, which the root does not reach, shows
// as directories without a name.
#include "images/ext_links.h"

#include <cerrno>
#include <string>

#include <fmt/format.h>

#include "images/ext_children.h"

namespace ovl {

namespace {

constexpr size_t kMaxShownPath = 4096;

class LinkChecker {
 public:
  LinkChecker(const ExtReaderInput& input, const ExtScan& scan)
      : input_(input),
        scan_(scan),
        parents_(scan.inodes.size(), kNone),
        found_(scan.inodes.size(), 0) {
    links_.same_names.resize(scan.inodes.size(), 0);
  }

  Result<ExtLinks> run();

 private:
  Status start();
  Status enter(uint32_t directory);
  Status visit(uint32_t directory, const Child& child);
  Status visit_directory(uint32_t parent, const Child& child);
  Result<Ino> parent_of(uint32_t directory) const;
  Status check_counts() const;
  bool is_count_right(uint32_t index) const;
  tl::unexpected<Error> bad(uint32_t index, const std::string& what) const;
  std::string path_of(uint32_t index) const;
  std::string_view name_in(uint32_t parent, uint32_t index) const;

  const ExtReaderInput& input_;
  const ExtScan& scan_;
  ExtLinks links_;
  std::vector<uint32_t> parents_;  // of each inode, a directory that names it
  std::vector<uint32_t> found_;    // names; of directories, subdirectories
  std::vector<uint32_t> pending_;  // directories to enter
};

Result<ExtLinks> LinkChecker::run() {
  OVL_TRY(start());
  while (!pending_.empty()) {
    const uint32_t directory = pending_.back();
    pending_.pop_back();
    OVL_TRY(enter(directory));
  }
  OVL_TRY(check_counts());
  return std::move(links_);
}

Status LinkChecker::start() {
  const Ino root_ino{EXT2_ROOT_INO};
  const uint32_t root = scan_.find(root_ino);
  if (root == kNone || !scan_.inodes[root].is_dir())
    return fail(EUCLEAN, "the root is not a directory");
  parents_[root] = root;
  const Ino parent = OVL_TRY(parent_of(root));
  if (parent != root_ino)
    return bad(root, "has a '..' that is not itself");
  pending_.push_back(root);
  return {};
}

Status LinkChecker::enter(uint32_t directory) {
  links_.order.push_back(directory);
  const std::vector<Child> children = OVL_TRY(
      children_of(input_, scan_, directory)
          .in(fmt::format("inode {}", to_int(scan_.inodes[directory].ino))));
  for (const Child& child : children)
    OVL_TRY(visit(directory, child));
  return {};
}

Status LinkChecker::visit(uint32_t directory, const Child& child) {
  links_.same_names[child.inode] += child.same ? 1 : 0;
  if (scan_.inodes[child.inode].is_dir())
    return visit_directory(directory, child);
  parents_[child.inode] = directory;
  ++found_[child.inode];
  return {};
}

Status LinkChecker::visit_directory(uint32_t parent, const Child& child) {
  if (parents_[child.inode] != kNone)
    return bad(child.inode,
               fmt::format("is a directory with a second name, "
                           "'{}' in inode {}",
                           child.name, to_int(scan_.inodes[parent].ino)));
  parents_[child.inode] = parent;
  ++found_[parent];
  // A name that is the merged tree's own, in a directory whose block was not
  // written, needs no look at the block.
  const bool known = child.same && scan_.inodes[child.inode].names == kNone;
  const Ino expected = scan_.inodes[parent].ino;
  if (!known && OVL_TRY(parent_of(child.inode)) != expected)
    return bad(child.inode, "has a '..' that is not its parent");
  pending_.push_back(child.inode);
  return {};
}

Result<Ino> LinkChecker::parent_of(uint32_t directory) const {
  const FoundInode& inode = scan_.inodes[directory];
  if (inode.names != kNone)
    return scan_.directories[inode.names].parent;
  const auto first = input_.base.block_of(inode.source, 0);
  if (!first.has_value())
    return fail(EUCLEAN, "a directory has no first block");
  return read_parent(input_.device, *first);
}

Status LinkChecker::check_counts() const {
  for (uint32_t index = 0; index < scan_.inodes.size(); ++index) {
    if (parents_[index] == kNone)
      return fail(EUCLEAN, fmt::format("inode {} has no name",
                                       to_int(scan_.inodes[index].ino)));
    if (!is_count_right(index))
      return bad(index, fmt::format("has a link count of {}",
                                    scan_.inodes[index].links));
  }
  return {};
}

// With dir_nlink a directory of very many directories says 1.
bool LinkChecker::is_count_right(uint32_t index) const {
  const FoundInode& inode = scan_.inodes[index];
  if (!inode.is_dir())
    return inode.links == found_[index];
  return inode.links == found_[index] + 2 ||
         (inode.links == 1 && found_[index] + 2 >= EXT2_LINK_MAX);
}

tl::unexpected<Error> LinkChecker::bad(uint32_t index,
                                       const std::string& what) const {
  return fail(EUCLEAN,
              fmt::format("inode {} ('{}') {}", to_int(scan_.inodes[index].ino),
                          path_of(index), what));
}

std::string LinkChecker::path_of(uint32_t index) const {
  std::string path;
  while (parents_[index] != index && path.size() < kMaxShownPath) {
    const uint32_t parent = parents_[index];
    path.insert(0, "/" + std::string(name_in(parent, index)));
    index = parent;
  }
  return path.empty() ? "/" : path;
}

std::string_view LinkChecker::name_in(uint32_t parent, uint32_t index) const {
  const auto children = children_of(input_, scan_, parent);
  if (children.has_value())
    for (const Child& child : *children)
      if (child.inode == index)
        return child.name;
  return "?";
}

}  // namespace

Result<ExtLinks> check_links(const ExtReaderInput& input, const ExtScan& scan) {
  return LinkChecker(input, scan).run();
}

}  // namespace ovl
