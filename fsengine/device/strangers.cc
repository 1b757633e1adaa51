// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/strangers.h"

#include <cerrno>

namespace ovl {

bool Strangers::add_if(const ObjectId& id, const FileStamp& found,
                       const FileStamp& kept) {
  if (is_as_left(found, kept))
    return false;
  files_[id] = {found, kept};
  return true;
}

Status Strangers::check(const Changes& changes, const LiveTree& live) const {
  if (files_.empty())
    return {};
  std::map<ObjectId, Stranger> left = files_;
  for (const ObjectChange& change : changes.objects) {
    const auto at = left.find(change.id);
    if (at == left.end() || change.kind == ObjectChange::Kind::kGone)
      continue;
    const auto& [found, kept] = at->second;
    const FileStamp now{change.content ? change.content->size : kept.size,
                        change.attributes.mtime_sec,
                        change.attributes.mtime_nsec};
    if (is_as_left(found, now))
      left.erase(at);
  }
  if (left.empty())
    return {};
  return fail(ESTALE, "upperdir: " + live.path(left.begin()->first) +
                          ": changed by somebody else");
}

}  // namespace ovl
