// SPDX-License-Identifier: BSD-3-Clause
#include "tools/ovl/change_paths.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "images/ext_inode.h"

namespace ovl {

namespace {

constexpr Ino kRoot{2};
constexpr uint32_t kMaxDepth = 4096;  // of what a path may be

std::string words_of(const ObjectChange& object) {
  static constexpr std::pair<uint8_t, const char*> kWords[] = {
      {kModeChanged, "mode"},
      {kOwnerChanged, "owner"},
      {kTimeChanged, "time"},
      {kFlagsChanged, "flags"},
      {kDeviceChanged, "device"}};
  std::string text;
  for (const auto& [bit, word] : kWords)
    if ((object.attributes_changed & bit) != 0)
      text += fmt::format(" {}", word);
  text += object.xattrs ? " xattrs" : "";
  text += object.target ? " target" : "";
  if (!object.content)
    return text;
  uint64_t blocks = 0;
  for (const FileRange& range : object.content->changed)
    blocks += range.count;
  return text + fmt::format(" content({} bytes, {} changed)",
                            object.content->size, blocks * kBlockSize);
}

std::string what_is(const ObjectChange& object) {
  const Attributes& now = object.attributes;
  std::string text = fmt::format(" {:06o} {}:{}", now.mode, now.uid, now.gid);
  if (object.content)
    text += fmt::format(" {} bytes", object.content->size);
  if (object.target)
    text += " -> " + one_line(*object.target);
  if (S_ISCHR(now.mode) || S_ISBLK(now.mode))
    text += fmt::format(" {}:{}", now.rdev.major_no(), now.rdev.minor_no());
  return text;
}

}  // namespace

ChangePaths::ChangePaths(Tree before, const Catalog& catalog,
                         const Changes& changes)
    : image_(catalog.base().image()), changes_(changes) {
  find_base_names(before);
  for (const NameChange& change : changes.names) {
    const Name name{change.directory.ino, change.name};
    if (change.before)
      names_[change.before->ino].gone.push_back(name);
    if (change.now)
      names_[change.now->ino].come.push_back(name);
  }
}

void ChangePaths::find_base_names(Tree before) {
  std::vector<NodeId> walk{before.root};
  while (!walk.empty()) {
    const NodeId directory = walk.back();
    walk.pop_back();
    for (const Entry& entry : before.pool.entries(directory)) {
      base_names_.try_emplace(
          image_.ino_of(entry.node),
          Name{image_.ino_of(directory), std::string(before.pool.name(entry))});
      if (before.pool[entry.node].is_dir())
        walk.push_back(entry.node);
    }
  }
}

const ChangePaths::Name* ChangePaths::name_now(Ino ino) const {
  const auto changed = names_.find(ino);
  if (changed != names_.end() && !changed->second.come.empty())
    return &changed->second.come.front();
  const auto base = base_names_.find(ino);
  return base == base_names_.end() ? nullptr : &base->second;
}

Result<std::string> ChangePaths::path_now(const Name& name) const {
  std::string path = name.name;
  Ino at = name.directory;
  for (uint32_t depth = 0; at != kRoot; ++depth) {
    const Name* above = name_now(at);
    if (above == nullptr || depth > kMaxDepth)
      return fail(EUCLEAN, fmt::format("inode {} has no path", to_int(at)));
    path.insert(0, above->name + "/");
    at = above->directory;
  }
  return one_line(path);
}

std::string ChangePaths::path_before(const Name& name) const {
  std::string path = name.name;
  for (auto above = base_names_.find(name.directory);
       above != base_names_.end();
       above = base_names_.find(above->second.directory))
    path.insert(0, above->second.name + "/");
  return one_line(path);
}

Result<std::vector<std::string>> ChangePaths::lines_of_names(
    const Names& names, const ObjectChange* object) const {
  std::vector<std::string> out;
  const bool is_made =
      object != nullptr && object->kind == ObjectChange::Kind::kMade;
  if (!is_made && names.gone.size() == 1 && names.come.size() == 1) {
    out.push_back("R " + path_before(names.gone[0]) + " => " +
                  OVL_TRY(path_now(names.come[0])));
    return out;
  }
  for (const Name& name : names.gone)
    out.push_back("D " + path_before(name));
  for (const Name& name : names.come)
    out.push_back("A " + OVL_TRY(path_now(name)) +
                  (is_made ? what_is(*object) : " (link)"));
  return out;
}

Result<std::vector<std::string>> ChangePaths::lines() const {
  std::map<Ino, const ObjectChange*> states;
  for (const ObjectChange& object : changes_.objects)
    if (object.kind != ObjectChange::Kind::kGone)
      states[object.id.ino] = &object;
  std::vector<std::string> out;
  for (const auto& [ino, names] : names_) {
    const auto state = states.find(ino);
    const auto lines = OVL_TRY(
        lines_of_names(names, state == states.end() ? nullptr : state->second));
    out.insert(out.end(), lines.begin(), lines.end());
  }
  for (const auto& [ino, object] : states) {
    if (object->kind != ObjectChange::Kind::kChanged)
      continue;
    const Name* name = name_now(ino);
    std::string path = ".";
    if (ino != kRoot && name == nullptr)
      return fail(EUCLEAN, fmt::format("inode {} has no path", to_int(ino)));
    if (ino != kRoot)
      path = OVL_TRY(path_now(*name));
    out.push_back("M " + path + words_of(*object));
  }
  std::ranges::sort(out, {}, [](const std::string& line) {
    return std::string_view(line).substr(2);
  });
  return out;
}

}  // namespace ovl
