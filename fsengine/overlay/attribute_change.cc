// SPDX-License-Identifier: BSD-3-Clause
//
// Order matters: chown strips set-id bits and capabilities, so the owner comes
// first, then mode and extended attributes, and the time when nothing else
// will touch the object. Of extended attributes those come first without which
// overlayfs would show another tree: a file system may have room for few.
#include "fsengine/overlay/attribute_change.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "fsengine/overlay/host_object.h"

namespace ovl {
namespace {

// In an attribute of overlayfs: real flags would bar the kernel, and us.
void change_flags(const AttributeRules& rules, const Node& node,
                  AttributeChange& change) {
  const std::string name = overlay_xattr(rules.family, "protattr");
  const std::string value =
      std::string((node.flags & kFlagAppend) != 0 ? "a" : "") +
      ((node.flags & kFlagImmutable) != 0 ? "i" : "");
  if (value.empty())
    change.remove.push_back(name);
  else
    change.set.push_back({name, value});
}

void set_xattrs(const AttributeRules& rules, const XattrSet& want,
                const XattrSet& have, AttributeChange& change) {
  for (const Xattr& xattr : want) {
    const std::string* old = find_xattr(have, xattr.name);
    const bool is_new = old == nullptr || *old != xattr.value;
    if (is_new && !is_acl_twin(xattr.name))
      change.set.push_back(
          {stored_xattr_name(rules.family, xattr.name), xattr.value});
  }
}

void set_owner(const AttributeRules& rules, const Node& node,
               AttributeChange& change) {
  if (rules.owner == OwnerPolicy::kKeep)
    change.owner = Owner{node.uid, node.gid};
}

}  // namespace

AttributeChange all_attributes(const AttributeRules& rules, const Node& node) {
  AttributeChange change;
  set_owner(rules, node, change);
  if (!node.is_symlink())
    change.mode = node.mode & 07777;
  set_xattrs(rules, rules.pool.xattrs.get(node.xattrs), {}, change);
  if (node.flags != kFlagNone)
    change_flags(rules, node, change);
  change.mtime = {node.mtime_sec, node.mtime_nsec};
  return change;
}

AttributeChange attribute_change(const AttributeRules& rules, const Node& from,
                                 const Node& node) {
  const XattrSet& have = rules.pool.xattrs.get(from.xattrs);
  const XattrSet& want = rules.pool.xattrs.get(node.xattrs);
  AttributeChange change;
  const bool chown = from.uid != node.uid || from.gid != node.gid;
  if (chown)
    set_owner(rules, node, change);
  // A directory's mode may have been widened to work in it, and that of what
  // gets attributes.
  const bool has_xattrs =
      from.xattrs != node.xattrs || from.flags != node.flags;
  const bool chmod =
      chown || from.mode != node.mode || node.is_dir() || has_xattrs;
  if (chmod && !node.is_symlink())
    change.mode = node.mode & 07777;
  for (const Xattr& xattr : have)
    if (find_xattr(want, xattr.name) == nullptr)
      change.remove.push_back(stored_xattr_name(rules.family, xattr.name));
  // chown drops a capability that the guest kept or set again.
  set_xattrs(rules, want, chown ? XattrSet{} : have, change);
  if (from.flags != node.flags)
    change_flags(rules, node, change);
  change.mtime = {node.mtime_sec, node.mtime_nsec};
  return change;
}

namespace {

Status unless_left_out(Status done, const At& at, std::string_view what,
                       const AttributeLimits& limits) {
  if (!done && limits.policy != nullptr &&
      limits.policy->leave_out(at, limits.path(), what, done.error()))
    return {};
  return done;
}

Status remove_xattrs(Os& os, const At& at, const AttributeChange& change) {
  for (const std::string& name : change.remove) {
    auto removed = os.remove_xattr(at, name);
    if (!removed && removed.error().code() != ENODATA)
      return removed;
  }
  return {};
}

// The guest's largest attribute that is for its programs alone; "" when there
// is none. Others say who may do what, or are overlayfs's or the host's.
Result<std::string> most_dispensable(const At& at, XattrFamily family) {
  const XattrSet xattrs = OVL_TRY(read_host_xattrs(at.dir, at.name));
  std::string name;
  size_t most = 0;
  for (const Xattr& xattr : xattrs) {
    const bool is_for_programs =
        xattr.name.starts_with("user.") || xattr.name.starts_with("trusted.");
    if (is_for_programs && guest_xattr_name(family, xattr.name) &&
        xattr.value.size() >= most) {
      name = xattr.name;
      most = xattr.value.size();
    }
  }
  return name;
}

bool lacks_room(const Status& done) {
  return !done &&
         (done.error().code() == ENOSPC || done.error().code() == E2BIG);
}

// An attribute that the tree depends on takes the room of the guest's.
Status add_to_tree(Os& os, const At& at, const Xattr& xattr,
                   const AttributeLimits& limits) {
  Status done = os.set_xattr(at, xattr.name, xattr.value);
  while (lacks_room(done)) {
    const std::string other =
        OVL_TRY(most_dispensable(at, limits.policy->family()));
    if (other.empty() ||
        !limits.policy->leave_out(at, limits.path(), other, done.error()))
      break;
    OVL_TRY(os.remove_xattr(at, other));
    done = os.set_xattr(at, xattr.name, xattr.value);
  }
  return done;
}

Status add_xattrs(Os& os, const At& at, const AttributeChange& change,
                  const AttributeLimits& limits) {
  const auto is_trees = [&](const Xattr& xattr) {
    return limits.policy != nullptr &&
           makes_the_tree(limits.policy->family(), xattr.name);
  };
  for (const Xattr& xattr : change.set)
    if (is_trees(xattr))
      OVL_TRY(add_to_tree(os, at, xattr, limits));
  for (const Xattr& xattr : change.set)
    if (!is_trees(xattr))
      OVL_TRY(unless_left_out(os.set_xattr(at, xattr.name, xattr.value), at,
                              xattr.name, limits));
  return {};
}

Status set_mode(Os& os, const At& at, const AttributeChange& change,
                const AttributeLimits& limits) {
  if (!change.mode)
    return {};
  if (limits.policy == nullptr)
    return os.chmod(at, *change.mode);
  return os.chmod(
      at, OVL_TRY(limits.policy->permissions(at, *change.mode, limits.path)));
}

// Those of users are for who may write, and the owner may not be.
Status let_us_write(Os& os, const At& at) {
  struct stat st {};
  if (::fstatat(at.dir, at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0)
    return last_error("stat");
  const bool is_barred = !S_ISLNK(st.st_mode) && (st.st_mode & S_IWUSR) == 0;
  return is_barred ? os.chmod(at, (st.st_mode & 07777) | S_IWUSR) : Status();
}

bool is_bound(const AttributeLimits& limits) {
  return limits.policy != nullptr && !limits.policy->is_privileged();
}

}  // namespace

Status apply_attributes(Os& os, const At& at, const AttributeChange& change,
                        const AttributeLimits& limits) {
  if (change.owner)
    OVL_TRY(
        unless_left_out(os.chown(at, *change.owner), at, "its owner", limits));
  const bool has_xattrs = !change.remove.empty() || !change.set.empty();
  if (has_xattrs && is_bound(limits)) {
    OVL_TRY(let_us_write(os, at));
    OVL_TRY(remove_xattrs(os, at, change));
    OVL_TRY(add_xattrs(os, at, change, limits));
    OVL_TRY(set_mode(os, at, change, limits));
  } else {
    OVL_TRY(remove_xattrs(os, at, change));
    OVL_TRY(set_mode(os, at, change, limits));
    OVL_TRY(add_xattrs(os, at, change, limits));
  }
  return os.set_mtime(at, change.mtime);
}

}  // namespace ovl
