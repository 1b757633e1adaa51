// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/upper_stage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/paths.h"

namespace ovl {

Result<PublishPlan> UpperStage::run() {
  const auto count = static_cast<uint32_t>(plan_.dirs.size());
  staged_path_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (!plan_.dirs[i].wanted)
      continue;
    OVL_TRY(plan_.dirs[i].kept ? compare_dir(i) : build_dir(i));
  }
  for (uint32_t i = count; i-- > 0;)
    if (plan_.dirs[i].wanted && !plan_.dirs[i].kept)
      OVL_TRY(at_path(finish_dir(i), i));
  OVL_TRY(identify_steps());
  unlock_dirs();
  settle_dirs();
  if (!result_.empty())
    OVL_TRY(target_.os.syncfs(target_.staging).in("workdir"));
  return std::move(result_);
}

// An error of dirs[index], or of a name in it, with the path.
template <typename T>
Result<T> UpperStage::at_path(Result<T> result, uint32_t index,
                              std::string_view name) const {
  if (result)
    return result;
  std::string path = plan_.path(index);
  if (!name.empty())
    path = join_path(path, name);
  return std::move(result).in(path.empty() ? "upperdir" : "upperdir: " + path);
}

Result<Fd> UpperStage::open_kept(uint32_t index) const {
  Fd fd = OVL_TRY(
      open_beneath(target_.upper, plan_.path(index), O_RDONLY | O_DIRECTORY));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0)
    return last_error("fstat");
  const NodeId object = layer_object(target_.pool, plan_.dirs[index].node);
  if (st.st_ino != target_.pool[object].host_ino)
    return system_error(ESTALE, "directory was changed by somebody else");
  return fd;
}

Result<UpperStage::Present> UpperStage::look_up(int dir,
                                                const std::string& name) {
  struct stat st {};
  Present present;
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    present.exists = true;
    present.mode = st.st_mode;
    present.ino = st.st_ino;
    present.whiteout = S_ISCHR(st.st_mode) && st.st_rdev == 0;
    return present;
  }
  if (errno != ENOENT)
    return last_error(name + ": stat");
  return present;
}

Status UpperStage::compare_dir(uint32_t index) {
  const Fd dir = OVL_TRY(at_path(open_kept(index), index));
  const auto names = OVL_TRY(at_path(list_names(dir.get()), index));
  std::unordered_set<std::string_view> unwanted(names.begin(), names.end());
  for (const WantedName& wanted : plan_.dirs[index].names) {
    const std::string name(wanted.name);
    unwanted.erase(wanted.name);
    const Present present = OVL_TRY(at_path(look_up(dir.get(), name), index));
    OVL_TRY(at_path(compare_name(index, wanted, present), index, name));
  }
  for (const std::string& name : names)
    if (unwanted.contains(name))
      OVL_TRY(at_path(remove(index, dir.get(), name), index, name));
  return {};
}

Status UpperStage::compare_name(uint32_t index, const WantedName& wanted,
                                const Present& present) {
  using Kind = WantedName::Kind;
  const bool stays = wanted.kind == Kind::kKeep ||
                     (wanted.kind == Kind::kDir && plan_.dirs[wanted.dir].kept);
  if (stays && !present.exists)
    return system_error(ESTALE, "removed by somebody else");
  if (stays || (wanted.kind == Kind::kWhiteout && present.whiteout))
    return {};
  if (wanted.kind == Kind::kFile && is_in_place(wanted.node, present)) {
    settle_file(wanted.node, join_path(plan_.path(index), wanted.name));
    return {};
  }
  return replace(index, wanted, present);
}

Status UpperStage::replace(uint32_t index, const WantedName& wanted,
                           const Present& present) {
  NameStep step;
  step.name = wanted.name;
  step.staged = new_staged_name();
  const bool with_dir =
      wanted.kind == WantedName::Kind::kDir || S_ISDIR(present.mode);
  if (present.exists)
    step.kind = with_dir ? NameStep::Kind::kExchange : NameStep::Kind::kReplace;
  const At at{target_.staging, step.staged};
  const std::string staged = step.staged;
  add_step(index, std::move(step), wanted.kind == WantedName::Kind::kWhiteout);
  return build_name(index, wanted, at, staged);
}

Status UpperStage::remove(uint32_t index, int dir, const std::string& name) {
  const Present present = OVL_TRY(look_up(dir, name));
  NameStep step{NameStep::Kind::kRemove, "", name, new_staged_name(),
                present.ino};
  add_step(index, std::move(step), true);
  return {};
}

void UpperStage::add_step(uint32_t index, NameStep step, bool hides) {
  touched_.insert(index);
  step.dir = plan_.path(index);
  (hides ? hiding_ : result_.names).push_back(std::move(step));
}

// Everything is staged: note which inode each step places, and the order.
Status UpperStage::identify_steps() {
  const Present root = OVL_TRY(look_up(target_.upper, ".").in("upperdir"));
  result_.upper_ino = root.ino;
  std::ranges::move(hiding_, std::back_inserter(result_.names));
  for (NameStep& step : result_.names) {
    if (step.kind == NameStep::Kind::kRemove)
      continue;
    const Present staged = OVL_TRY(
        look_up(target_.staging, step.staged).in("workdir: ovl/staging"));
    step.ino = staged.ino;
  }
  return {};
}

// Without privilege the guest's permission bits bind us; they are set anew
// when the directory is settled.
void UpperStage::unlock_dirs() {
  for (const uint32_t index : touched_) {
    const NodeId object = layer_object(target_.pool, plan_.dirs[index].node);
    const uint32_t mode = target_.pool[object].mode & 07777;
    if (!target_.privileged && (mode & 0700) != 0700)
      result_.unlocks.push_back({plan_.path(index), mode | 0700});
  }
}

Status UpperStage::build_dir(uint32_t index) {
  const Fd dir = OVL_TRY(at_path(make_staged_dir(index), index));
  for (const WantedName& wanted : plan_.dirs[index].names) {
    const At at{dir.get(), std::string(wanted.name)};
    const std::string staged = join_path(staged_path_[index], wanted.name);
    OVL_TRY(at_path(build_name(index, wanted, at, staged), index, wanted.name));
  }
  return {};
}

Result<Fd> UpperStage::make_staged_dir(uint32_t index) {
  const std::string& path = staged_path_[index];
  const SplitPath split = split_path(path);
  const Fd parent =
      OVL_TRY(open_beneath(target_.staging, split.dir, O_RDONLY | O_DIRECTORY));
  OVL_TRY(target_.os.make_dir({parent.get(), std::string(split.name)}, 0700));
  return open_beneath(target_.staging, path, O_RDONLY | O_DIRECTORY);
}

Status UpperStage::build_name(uint32_t index, const WantedName& wanted,
                              const At& at, const std::string& staged) {
  switch (wanted.kind) {
    case WantedName::Kind::kWhiteout:
      return writer_.make_whiteout(at);
    case WantedName::Kind::kDir:
      staged_path_[wanted.dir] = staged;
      return {};
    case WantedName::Kind::kFile:
      settle_file(wanted.node, join_path(plan_.path(index), wanted.name));
      return make_or_link(wanted.node, at, {false, staged});
    case WantedName::Kind::kKeep:
      break;
  }
  return fail(EINVAL, "planned to be kept in a directory that is new");
}

// Complete before it can be seen, but for the permission to move it.
Status UpperStage::finish_dir(uint32_t index) {
  const WantedDir& dir = plan_.dirs[index];
  const Node& node = target_.pool[dir.node];
  const SplitPath split = split_path(staged_path_[index]);
  const Fd parent =
      OVL_TRY(open_beneath(target_.staging, split.dir, O_RDONLY | O_DIRECTORY));
  const At at{parent.get(), std::string(split.name)};
  if (dir.opaque)
    OVL_TRY(writer_.set_opaque(at));
  if (!dir.redirect.empty())
    OVL_TRY(writer_.set_redirect(at, dir.redirect));
  OVL_TRY(writer_.set_attributes(at, node));
  const bool unmovable = !target_.privileged && (node.mode & 0700) != 0700;
  if (!unmovable || !plan_.dirs[dir.parent].kept)
    return {};
  result_.attributes.push_back(
      {plan_.path(index), all_attributes(target_.rules(), node)});
  return target_.os.chmod(at, node.mode | 0700);
}

bool UpperStage::is_in_place(NodeId node, const Present& present) const {
  if (!present.exists || !keeps_upper_object(target_.pool, node))
    return false;
  const NodeId object = layer_object(target_.pool, node);
  return present.ino == target_.pool[object].host_ino;
}

Status UpperStage::make_or_link(NodeId node, const At& at, const Place& here) {
  if (const auto first = first_place_.find(node); first != first_place_.end())
    return link_from(first->second, node, at);
  const NodeId object = layer_object(target_.pool, node);
  // Elsewhere a metacopy file would look for its bytes under another name.
  if (keeps_upper_object(target_.pool, node) &&
      !(target_.pool[object].marks & kMarkMetacopy)) {
    return link_from({true, host_path(target_.pool, target_.pool[object])},
                     node, at);
  }
  first_place_[node] = here;
  return writer_.make(at, node);
}

Status UpperStage::link_from(const Place& place, NodeId node, const At& at) {
  const int root = place.in_upper ? target_.upper : target_.staging;
  const SplitPath split = split_path(place.path);
  const Fd dir = OVL_TRY(open_beneath(root, split.dir, O_RDONLY | O_DIRECTORY));
  OVL_TRY(target_.os.link({dir.get(), std::string(split.name)}, at));
  if (!place.in_upper)
    return {};
  const Present linked = OVL_TRY(look_up(at.dir, at.name));
  const NodeId object = layer_object(target_.pool, node);
  if (linked.ino != target_.pool[object].host_ino)
    return system_error(ESTALE, place.path + ": changed by somebody else");
  return {};
}

// An object of upper that stays one: its attributes change in place, once.
void UpperStage::settle_file(NodeId node, const std::string& path) {
  const NodePool& pool = target_.pool;
  const NodeId object = layer_object(pool, node);
  if (!keeps_upper_object(pool, node) ||
      same_carried_attributes(pool[node], pool[object], target_.owner))
    return;
  if (settled_.insert(node).second)
    result_.attributes.push_back(
        {path, attribute_change(target_.rules(), pool[object], pool[node])});
}

// Deepest first: settling a directory's names changes its own time only, but
// permissions of a parent may bar the way to a child.
void UpperStage::settle_dirs() {
  for (uint32_t i = static_cast<uint32_t>(plan_.dirs.size()); i-- > 0;)
    if (plan_.dirs[i].wanted && plan_.dirs[i].kept)
      settle_dir(i);
}

void UpperStage::settle_dir(uint32_t index) {
  const NodePool& pool = target_.pool;
  const WantedDir& dir = plan_.dirs[index];
  const Node& old = pool[layer_object(pool, dir.node)];
  const bool opaque = dir.opaque && !(old.marks & kMarkOpaque);
  const bool changed =
      !same_carried_attributes(pool[dir.node], old, target_.owner);
  if (!changed && !opaque && !touched_.contains(index))
    return;
  AttributeChange change =
      attribute_change(target_.rules(), old, pool[dir.node]);
  if (opaque)
    change.set.push_back({overlay_xattr(target_.family, "opaque"), "y"});
  result_.attributes.push_back({plan_.path(index), std::move(change)});
}

}  // namespace ovl
