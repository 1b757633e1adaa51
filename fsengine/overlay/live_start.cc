// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/live_start.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {
namespace {

struct Found {
  ObjectId id;
  NodeId node = kNoNode;
  std::string path;
};

class Comparison {
 public:
  Comparison(const Tree& now, LiveTree& live, const UpperVisitor& visit,
             const MayLack& may_lack)
      : pool_(now.pool),
        live_(live),
        visit_(visit),
        may_lack_(may_lack),
        waiting_{{live.root(), now.root, ""}} {}

  Status run() {
    while (!waiting_.empty()) {
      const Found found = std::move(waiting_.back());
      waiting_.pop_back();
      OVL_TRY(take(found).in(found.path.empty() ? "upperdir"
                                                : "upperdir: " + found.path));
      if (pool_[found.node].is_dir())
        OVL_TRY(compare(found));
    }
    return {};
  }

 private:
  Status take(const Found& found) {
    const Node& node = pool_[found.node];
    LiveTree::Standing standing = live_.standing(found.id);
    standing.ino = node.host_ino;
    standing.is_redirected = node.has_redirect;
    standing.lower = node.is_dir() ? node.lower : kNoNode;
    live_.set_standing(found.id, standing);
    return visit_ ? visit_(found.id, node) : Status();
  }

  Status compare(const Found& directory) {
    const std::map<std::string, ObjectId> names = live_.entries(directory.id);
    const auto entries = pool_.entries(directory.node);
    auto entry = entries.begin();
    for (const auto& [name, id] : names) {
      const bool is_there =
          entry != entries.end() && pool_.name(*entry) == name;
      if (!is_there && take_as_absent(id))
        continue;
      if (!is_there)
        return differs(directory,
                       entry == entries.end() ? name : pool_.name(*entry));
      OVL_TRY(compare(directory, name, {id, entry->node, ""}));
      ++entry;
    }
    return entry == entries.end() ? Status()
                                  : differs(directory, pool_.name(*entry));
  }

  Status compare(const Found& directory, const std::string& name, Found found) {
    if ((pool_[found.node].mode & S_IFMT) != found.id.type)
      return differs(directory, name);
    if (!is_upper_object(pool_, found.node)) {
      take_as_absent(found.id);  // if a lower's state of it is what shows
      return {};
    }
    found.path = join_path(directory.path, name);
    waiting_.push_back(std::move(found));
    return {};
  }

  bool take_as_absent(const ObjectId& id) {
    if (!may_lack_ || !may_lack_(id))
      return false;
    LiveTree::Standing standing = live_.standing(id);
    standing.ino = 0;
    standing.is_absent = true;
    live_.set_standing(id, standing);
    return true;
  }

  static Status differs(const Found& directory, std::string_view name) {
    return fail(ESTALE, "upperdir: " + join_path(directory.path, name) +
                            ": not what the guest's file system has there");
  }

  const NodePool& pool_;
  LiveTree& live_;
  const UpperVisitor& visit_;
  const MayLack& may_lack_;
  std::vector<Found> waiting_;
};

}  // namespace

Status take_standings(const Tree& now, LiveTree& live,
                      const UpperVisitor& visit, const MayLack& may_lack) {
  return Comparison(now, live, visit, may_lack).run();
}

}  // namespace ovl
