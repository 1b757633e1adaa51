// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/paths.h"
#include "fsengine/base/string_codec.h"
#include "fsengine/base/tree_check.h"
#include "fsengine/base/tree_codec.h"
#include "fsengine/base/tree_records.h"

namespace ovl {
namespace {

constexpr uint8_t kAllMarks =
    kMarkWhiteout | kMarkOpaque | kMarkUnreadable | kMarkMetacopy;
constexpr uint8_t kAllFlags = kFlagImmutable | kFlagAppend;
constexpr size_t kMostXattrName = 255;
constexpr size_t kMostXattrValue = 65536;

void set_special(Node& node, uint32_t special) {
  if (node.is_regular())
    node.holes = HoleMapId{special};
  else if (node.is_symlink())
    node.target = StrRef{special};
  else if (node.is_dir())
    node.lower = NodeId{special};
  else
    node.rdev = {special};
}

// Its entries come later.
Node node_of(const NodeRecord& record) {
  Node node;
  node.size = record.size;
  node.mtime_sec = record.mtime_sec;
  node.host_ino = record.host_ino;
  node.mtime_nsec = record.mtime_nsec;
  node.uid = record.uid;
  node.gid = record.gid;
  node.xattrs = XattrsId{record.xattrs};
  node.source = NodeId{record.source};
  node.host_dir = NodeId{record.host_dir};
  node.host_name = StrRef{record.host_name};
  node.redirect = StrRef{record.redirect};
  node.ctime_tag = record.ctime_tag;
  node.mode = record.mode;
  node.layer = record.layer;
  node.marks = record.marks;
  node.flags = record.flags;
  node.has_redirect = record.has_redirect != 0;
  set_special(node, record.special);
  return node;
}

class TreeReader {
 public:
  TreeReader(CheckedReader& in, uint32_t layers) : in_(in), layers_(layers) {}

  Result<PooledTrees> run();

 private:
  Status read_xattr_sets();
  Result<XattrSet> read_xattr_set();
  Status read_hole_maps();
  Status read_nodes();
  Status read_entries();
  Status check_names(const Node& directory) const;
  bool is_valid(const NodeRecord& record) const;
  bool is_valid_special(const NodeRecord& record) const;
  bool is_node(uint32_t id) const { return id < header_.nodes; }
  bool is_node_or_none(uint32_t id) const {
    return is_node(id) || NodeId{id} == kNoNode;
  }
  bool is_string_if(bool wanted, uint32_t ref) const {
    return wanted ? strings_.has(StrRef{ref}) : ref == 0;
  }

  CheckedReader& in_;
  const uint32_t layers_;
  PoolHeader header_{};
  NodePool pool_;
  StringStarts strings_;
};

Result<PooledTrees> TreeReader::run() {
  header_ = OVL_TRY(in_.get<PoolHeader>());
  if (header_.zero != 0 || !is_node(header_.lower_root) ||
      !is_node(header_.merged_root))
    return damaged("roots");
  pool_.strings = OVL_TRY(read_strings(in_));
  strings_ = StringStarts(pool_.strings);
  OVL_TRY(read_xattr_sets());
  OVL_TRY(read_hole_maps());
  OVL_TRY(read_nodes());
  OVL_TRY(read_entries());
  OVL_TRY(check_references(pool_));
  OVL_TRY(check_acyclic(pool_));
  const NodeId lower{header_.lower_root};
  const NodeId merged{header_.merged_root};
  OVL_TRY(check_tree({pool_, lower}));
  OVL_TRY(check_tree({pool_, merged}));
  return PooledTrees{std::move(pool_), lower, merged};
}

// Interning gives the id that it had, unless there are two of a kind.
Status TreeReader::read_xattr_sets() {
  for (uint32_t i = 1; i <= header_.xattr_sets; ++i) {
    XattrSet set = OVL_TRY(read_xattr_set());
    if (pool_.xattrs.intern(std::move(set)) != XattrsId{i})
      return damaged("a set of attributes that is there twice");
  }
  return {};
}

Result<XattrSet> TreeReader::read_xattr_set() {
  const auto count = OVL_TRY(in_.get<uint32_t>());
  XattrSet set;
  for (uint32_t i = 0; i < count; ++i) {
    Xattr xattr;
    xattr.name = OVL_TRY(in_.get_string());
    xattr.value = OVL_TRY(in_.get_string());
    const bool in_order = set.empty() || set.back().name < xattr.name;
    if (!in_order || xattr.name.empty() || xattr.name.size() > kMostXattrName ||
        xattr.name.find('\0') != xattr.name.npos ||
        xattr.value.size() > kMostXattrValue)
      return damaged("an attribute");
    set.push_back(std::move(xattr));
  }
  return set;
}

Status TreeReader::read_hole_maps() {
  for (uint32_t i = 1; i <= header_.hole_maps; ++i) {
    const auto count = OVL_TRY(in_.get<uint32_t>());
    OVL_TRY(in_.expect(count, sizeof(DataRun)));
    HoleMap map{true, std::vector<DataRun>(count)};
    OVL_TRY(in_.get_bytes(std::as_writable_bytes(std::span(map.runs))));
    if (!is_in_order(map.runs) ||
        pool_.hole_maps.intern(std::move(map)) != HoleMapId{i})
      return damaged("a hole map");
  }
  return {};
}

Status TreeReader::read_nodes() {
  OVL_TRY(in_.expect(header_.nodes, sizeof(NodeRecord)));
  for (uint32_t id = 0; id < header_.nodes; ++id) {
    const auto record = OVL_TRY(in_.get<NodeRecord>());
    if (!is_valid(record))
      return damaged("node " + std::to_string(id));
    pool_.mutable_node(pool_.add(node_of(record))).entry_count = record.entries;
  }
  return {};
}

bool TreeReader::is_valid(const NodeRecord& record) const {
  const bool has_size = S_ISREG(record.mode) || S_ISLNK(record.mode);
  return has_known_type(record.mode) && record.layer < layers_ &&
         (record.marks & ~kAllMarks) == 0 && (record.flags & ~kAllFlags) == 0 &&
         record.has_redirect <= 1 && record.zero == 0 && record.zero_too == 0 &&
         (has_size || record.size == 0) &&
         (S_ISDIR(record.mode) || record.entries == 0) &&
         record.xattrs <= header_.xattr_sets &&
         is_node_or_none(record.source) && is_node_or_none(record.host_dir) &&
         is_string_if(NodeId{record.host_dir} != kNoNode, record.host_name) &&
         is_string_if(record.has_redirect != 0, record.redirect) &&
         (S_ISREG(record.mode) || NodeId{record.source} == kNoNode) &&
         is_valid_special(record);
}

bool TreeReader::is_valid_special(const NodeRecord& record) const {
  if (S_ISREG(record.mode))
    return record.special <= header_.hole_maps;
  if (S_ISLNK(record.mode))
    return strings_.has(StrRef{record.special});
  if (S_ISDIR(record.mode))
    return is_node_or_none(record.special);
  return S_ISCHR(record.mode) || S_ISBLK(record.mode) || record.special == 0;
}

// One array for all directories, which come in the order of their ids.
Status TreeReader::read_entries() {
  OVL_TRY(in_.expect(header_.entries, sizeof(Entry)));
  std::span<Entry> rest = pool_.new_entries(header_.entries);
  OVL_TRY(in_.get_bytes(std::as_writable_bytes(rest)));
  for (uint32_t id = 0; id < header_.nodes; ++id) {
    Node& node = pool_.mutable_node(NodeId{id});
    if (node.entry_count > rest.size())
      return damaged("more entries than there are");
    node.entries = rest.data();
    rest = rest.subspan(node.entry_count);
    OVL_TRY(check_names(node));
  }
  return rest.empty() ? Status() : damaged("fewer entries than there are");
}

Status TreeReader::check_names(const Node& directory) const {
  std::string_view before;
  for (const Entry& entry : pool_.entries(directory)) {
    if (!strings_.has(entry.name) || !is_node(to_int(entry.node)))
      return damaged("an entry");
    const std::string_view name = pool_.name(entry);
    if (!is_name(name) || name <= before)
      return damaged("the name of an entry");
    before = name;
  }
  return {};
}

}  // namespace

Result<PooledTrees> read_trees(CheckedReader& in, uint32_t layers) {
  return TreeReader(in, layers).run();
}

}  // namespace ovl
