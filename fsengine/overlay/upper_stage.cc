// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/upper_stage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/paths.h"
#include "fsengine/overlay/own_sync.h"
#include "fsengine/overlay/publish_room.h"

namespace ovl {

namespace {

ptrdiff_t depth_of(const MoveStep& step) {
  return step.dir.empty() ? 0 : 1 + std::ranges::count(step.dir, '/');
}

}  // namespace

Result<PublishPlan> UpperStage::run() {
  const auto count = static_cast<uint32_t>(plan_.dirs.size());
  staged_path_.resize(count);
  for (const WantedDir& dir : plan_.dirs)
    if (dir.moved)
      leaving_.insert(object_of(dir).host_ino);
  for (uint32_t i = 0; i < count; ++i) {
    if (!plan_.dirs[i].wanted)
      continue;
    OVL_TRY(plan_.dirs[i].kept ? compare_dir(i) : build_dir(i));
  }
  for (uint32_t i = count; i-- > 0;)
    if (plan_.dirs[i].wanted && !plan_.dirs[i].kept)
      OVL_TRY(at_path(finish_dir(i), i));
  for (const WantedPatch& patch : plan_.patches)
    OVL_TRY(at_path(stage_patch(patch), patch.dir, patch.name));
  OVL_TRY(identify_steps());
  std::ranges::stable_sort(result_.moves, std::greater(), depth_of);
  unlock_dirs();
  settle_dirs();
  if (!result_.empty())
    OVL_TRY(sync_staged(target_.os, target_.staging).in("workdir"));
  OVL_TRY(take_room(target_.os, target_.staging, room_).in("workdir"));
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
  const Node& object = object_of(plan_.dirs[index]);
  Fd fd = OVL_TRY(open_beneath(target_.upper, host_path(target_.pool, object),
                               O_RDONLY | O_DIRECTORY));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0)
    return last_error("fstat");
  if (st.st_ino != object.host_ino)
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
  for (const WantedName& wanted : plan_.dirs[index].names) {
    const std::string name(wanted.name);
    Present present = OVL_TRY(at_path(look_up(dir.get(), name), index));
    if (plan_.dirs[index].partial)
      OVL_TRY(at_path(check_present(wanted, present), index, name));
    if (leaves(present)) {
      touched_.insert(index);
      present = {};
    }
    OVL_TRY(at_path(compare_name(index, wanted, present), index, name));
  }
  return plan_.dirs[index].partial ? Status() : remove_others(index, dir.get());
}

// What somebody else put under a name, in place of ours or of nothing, is not
// written over. A whiteout has nothing in it to lose.
Status UpperStage::check_present(const WantedName& wanted,
                                 const Present& present) {
  const uint64_t ino =
      present.exists && !present.whiteout ? present.ino : uint64_t{0};
  if (ino == wanted.ino_before)
    return {};
  return fail(ESTALE, present.exists ? "changed by somebody else"
                                     : "removed by somebody else");
}

// What upper has beside the names that are wanted.
Status UpperStage::remove_others(uint32_t index, int dir) {
  const auto names = OVL_TRY(at_path(list_names(dir), index));
  std::unordered_set<std::string_view> wanted;
  for (const WantedName& name : plan_.dirs[index].names)
    wanted.insert(name.name);
  for (const std::string& name : names)
    if (!wanted.contains(name))
      OVL_TRY(at_path(remove(index, dir, name), index, name));
  return {};
}

// A directory that will be taken out before any name is placed.
bool UpperStage::leaves(const Present& present) const {
  return present.exists && S_ISDIR(present.mode) &&
         leaving_.contains(present.ino);
}

Status UpperStage::compare_name(uint32_t index, const WantedName& wanted,
                                const Present& present) {
  using Kind = WantedName::Kind;
  const bool stays =
      wanted.kind == Kind::kKeep ||
      (wanted.kind == Kind::kDir && plan_.dirs[wanted.dir].kept &&
       !plan_.dirs[wanted.dir].moved);
  if (wanted.kind == Kind::kNothing)
    return present.exists ? remove(index, std::string(wanted.name), present)
                          : Status();
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
  // XFS gives a directory that it exchanges a new time.
  if (wanted.kind == WantedName::Kind::kDir && present.exists)
    touched_.insert(wanted.dir);
  if (wanted.kind == WantedName::Kind::kDir && plan_.dirs[wanted.dir].moved)
    step.ino = object_of(plan_.dirs[wanted.dir]).host_ino;
  const At at{target_.staging, step.staged};
  const std::string staged = step.staged;
  if (wanted.kind != WantedName::Kind::kFile) {
    add_step(index, std::move(step),
             wanted.kind == WantedName::Kind::kWhiteout);
    return build_name(index, wanted, at, staged);
  }
  if (!OVL_TRY(build_object(index, wanted, at, staged)))
    return compare_name(index, wanted.without_object(), present);
  add_step(index, std::move(step), false);
  return {};
}

Result<bool> UpperStage::build_object(uint32_t index, const WantedName& wanted,
                                      const At& at, const std::string& staged) {
  return make_or_link(wanted.node, at, {false, staged},
                      join_path(plan_.path(index), wanted.name));
}

Status UpperStage::remove(uint32_t index, int dir, const std::string& name) {
  return remove(index, name, OVL_TRY(look_up(dir, name)));
}

Status UpperStage::remove(uint32_t index, const std::string& name,
                          const Present& present) {
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
    if (step.ino != 0)
      continue;  // not of a staged object
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
    if (!plan_.dirs[index].kept)
      continue;
    const Node& object = object_of(plan_.dirs[index]);
    const uint32_t mode = object.mode & 07777;
    if (target_.privileged || (mode & 0700) == 0700)
      continue;
    const std::string before = host_path(target_.pool, object);
    const std::string after = plan_.path(index);
    result_.unlocks.push_back({before, object.host_ino, mode | 0700});
    if (after != before)
      result_.unlocks.push_back({after, object.host_ino, mode | 0700});
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
  const At at{parent.get(), std::string(split.name)};
  OVL_TRY(target_.os.make_dir(at, 0700));
  made_[plan_.dirs[index].node] = OVL_TRY(look_up(at.dir, at.name)).ino;
  return open_beneath(target_.staging, path, O_RDONLY | O_DIRECTORY);
}

Status UpperStage::build_name(uint32_t index, const WantedName& wanted,
                              const At& at, const std::string& staged) {
  switch (wanted.kind) {
    case WantedName::Kind::kWhiteout:
      return writer_.make_whiteout(at);
    case WantedName::Kind::kDir:
      if (!plan_.dirs[wanted.dir].moved)
        staged_path_[wanted.dir] = staged;
      else if (plan_.dirs[index].kept)
        add_move(wanted.dir, staged);
      else
        add_place(index, wanted);
      return {};
    case WantedName::Kind::kFile:
      if (!OVL_TRY(build_object(index, wanted, at, staged)) &&
          wanted.hides_lower)
        return writer_.make_whiteout(at);
      return {};
    case WantedName::Kind::kKeep:
    case WantedName::Kind::kNothing:
      break;
  }
  return fail(EINVAL, "planned to be kept in a directory that is new");
}

void UpperStage::add_move(uint32_t index, const std::string& staged) {
  const Node& object = object_of(plan_.dirs[index]);
  const Node& dir = target_.pool[object.host_dir];
  result_.moves.push_back(
      {host_path(target_.pool, dir),
       std::string(target_.pool.strings.get(object.host_name)), staged,
       object.host_ino});
  touched_.insert(index);
}

// A moved directory, into one that is new: once that is in upper.
void UpperStage::add_place(uint32_t parent, const WantedName& wanted) {
  NameStep step;
  step.name = wanted.name;
  step.staged = new_staged_name();
  step.ino = object_of(plan_.dirs[wanted.dir]).host_ino;
  add_move(wanted.dir, step.staged);
  touched_.insert(parent);
  step.dir = plan_.path(parent);
  result_.names.push_back(std::move(step));
}

Status UpperStage::stage_patch(const WantedPatch& patch) {
  const Node& object = target_.pool[layer_object(target_.pool, patch.node)];
  PatchStep step{join_path(plan_.path(patch.dir), patch.name), object.host_ino,
                 patch.content.size, new_staged_name(), patch.content.changed};
  OVL_TRY(writer_.make_patch({target_.staging, step.staged}, patch.node,
                             patch.content));
  room_ += OVL_TRY(room_of_patch(target_.upper, host_path(target_.pool, object),
                                 patch.content));
  // Writing takes set-id bits and capabilities away. What is to be removed its
  // name has said, before.
  result_.attributes.push_back(
      {step.path, all_attributes(target_.rules(), target_.pool[patch.node]),
       object.host_ino});
  result_.patches.push_back(std::move(step));
  return {};
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
  OVL_TRY(writer_.set_attributes(at, node,
                                 [this, index] { return plan_.path(index); }));
  const bool moves = plan_.dirs[dir.parent].kept;
  const bool barred = !target_.privileged && (node.mode & 0700) != 0700;
  if (!barred || (!moves && !touched_.contains(index)))
    return {};
  touched_.insert(index);
  return target_.os.chmod(at, node.mode | 0700);
}

bool UpperStage::is_in_place(NodeId node, const Present& present) const {
  if (!present.exists || !keeps_upper_object(target_.pool, node))
    return false;
  const NodeId object = layer_object(target_.pool, node);
  return present.ino == target_.pool[object].host_ino;
}

// False: it is left out.
Result<bool> UpperStage::make_or_link(NodeId node, const At& at,
                                      const Place& here,
                                      const std::string& path) {
  settle_file(node, path);
  if (left_out_.contains(node))
    return false;
  if (const auto first = first_place_.find(node); first != first_place_.end())
    return link_from(first->second, node, at);
  const NodeId object = layer_object(target_.pool, node);
  // Elsewhere a metacopy file would look for its bytes under another name.
  if (keeps_upper_object(target_.pool, node) &&
      !(target_.pool[object].marks & kMarkMetacopy)) {
    return link_from({true, host_path(target_.pool, target_.pool[object])},
                     node, at);
  }
  if (!OVL_TRY(writer_.make(at, node, path))) {
    left_out_.insert(node);
    return false;
  }
  first_place_[node] = here;
  made_[node] = OVL_TRY(look_up(at.dir, at.name)).ino;
  return true;
}

Result<bool> UpperStage::link_from(const Place& place, NodeId node,
                                   const At& at) {
  const int root = place.in_upper ? target_.upper : target_.staging;
  const SplitPath split = split_path(place.path);
  const Fd dir = OVL_TRY(open_beneath(root, split.dir, O_RDONLY | O_DIRECTORY));
  OVL_TRY(target_.os.link({dir.get(), std::string(split.name)}, at));
  if (!place.in_upper)
    return true;
  const Present linked = OVL_TRY(look_up(at.dir, at.name));
  const NodeId object = layer_object(target_.pool, node);
  if (linked.ino != target_.pool[object].host_ino)
    return system_error(ESTALE, place.path + ": changed by somebody else");
  return true;
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
        {path, attribute_change(target_.rules(), pool[object], pool[node]),
         pool[object].host_ino});
}

// Deepest first: settling a directory's names changes its own time only, but
// permissions of a parent may bar the way to a child.
void UpperStage::settle_dirs() {
  for (uint32_t i = static_cast<uint32_t>(plan_.dirs.size()); i-- > 0;)
    if (plan_.dirs[i].wanted && plan_.dirs[i].kept)
      settle_dir(i);
    else if (touched_.contains(i))
      result_.attributes.push_back(
          {plan_.path(i),
           all_attributes(target_.rules(), target_.pool[plan_.dirs[i].node])});
}

void UpperStage::settle_dir(uint32_t index) {
  const NodePool& pool = target_.pool;
  const WantedDir& dir = plan_.dirs[index];
  const Node& old = object_of(dir);
  const bool opaque = dir.opaque && !(old.marks & kMarkOpaque);
  const bool changed =
      !same_carried_attributes(pool[dir.node], old, target_.owner);
  const bool redirect = dir.moved && !dir.redirect.empty();
  if (!changed && !opaque && !redirect && !touched_.contains(index))
    return;
  AttributeChange change =
      attribute_change(target_.rules(), old, pool[dir.node]);
  if (opaque)
    change.set.push_back({overlay_xattr(target_.family, "opaque"), "y"});
  if (redirect)
    change.set.push_back(
        {overlay_xattr(target_.family, "redirect"), dir.redirect});
  result_.attributes.push_back({plan_.path(index), std::move(change)});
}

}  // namespace ovl
