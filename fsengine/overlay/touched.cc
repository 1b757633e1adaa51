// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/touched.h"

#include <sys/stat.h>

#include <unordered_set>
#include <vector>

#include "fsengine/base/paths.h"

namespace ovl {
namespace {

// Which objects of a record are in the trees: each comes behind its directory.
std::vector<bool> in_trees(const UpperRecord& record, const Touched& touched) {
  std::vector<bool> is_in(record.objects.size());
  for (const std::string& path : touched.trees)
    if (const auto at = record.find(path))
      is_in[*at] = true;
  for (size_t i = 1; i < is_in.size(); ++i)
    if (is_in[record.objects[i].parent])
      is_in[i] = true;
  return is_in;
}

using Inodes = std::unordered_set<uint64_t>;

void add_touched(const UpperRecord& record, const Touched& touched,
                 Inodes& inodes) {
  for (const std::string& path : touched.objects)
    if (const auto at = record.find(path))
      inodes.insert(record.objects[*at].ino);
  const std::vector<bool> is_in = in_trees(record, touched);
  for (size_t i = 0; i < is_in.size(); ++i)
    if (is_in[i])
      inodes.insert(record.objects[i].ino);
}

UpperObject name_alone(const UpperObject& object) {
  UpperObject name;
  name.parent = object.parent;
  name.mode = object.mode & S_IFMT;
  return name;
}

UpperRecord without(const UpperRecord& record, const Touched& touched,
                    const Inodes& inodes) {
  const std::vector<bool> is_gone = in_trees(record, touched);
  std::vector<uint32_t> place(record.objects.size());
  UpperRecord out;
  for (uint32_t i = 0; i < record.objects.size(); ++i) {
    if (is_gone[i])
      continue;
    place[i] = static_cast<uint32_t>(out.objects.size());
    const UpperObject& object = record.objects[i];
    out.objects.push_back(inodes.contains(object.ino) ? name_alone(object)
                                                      : object);
    out.objects.back().parent = place[object.parent];
    out.objects.back().name = out.names.add(record.names.get(object.name));
  }
  return out;
}

}  // namespace

Touched touched_by(const PublishPlan& plan) {
  Touched touched;
  const auto add_name = [&](const std::string& dir, const std::string& name) {
    touched.trees.push_back(join_path(dir, name));
    touched.objects.push_back(dir);
  };
  for (const MoveStep& step : plan.moves)
    add_name(step.dir, step.name);
  for (const NameStep& step : plan.names)
    add_name(step.dir, step.name);
  for (const PatchStep& step : plan.patches)
    touched.files.push_back(step.ino);
  for (const AttributeStep& step : plan.attributes)
    if (step.ino != 0)
      touched.files.push_back(step.ino);
    else
      touched.objects.push_back(step.path);
  for (const UnlockStep& step : plan.unlocks)
    touched.objects.push_back(step.path);
  return touched;
}

// An object may have got the name that tells of it since, or have lost it.
std::optional<UpperDifference> find_difference(const UpperRecord& kept,
                                               const UpperRecord& now,
                                               const Touched& touched,
                                               ChangeTimes change_times) {
  if (touched.empty())
    return find_difference(kept, now, change_times);
  Inodes inodes(touched.files.begin(), touched.files.end());
  add_touched(kept, touched, inodes);
  add_touched(now, touched, inodes);
  return find_difference(without(kept, touched, inodes),
                         without(now, touched, inodes), change_times);
}

}  // namespace ovl
