// SPDX-License-Identifier: BSD-3-Clause
//
// A plan takes a file from one place to the next:
//
//   its old path     while it is in a directory that will be moved
//   staging          with that directory; or as a further name, which a file
//                    that is moved by itself has there from the start
//   its new path     once the longest part of it that a step places is placed
//
// Later steps take nothing away from a path that is there when all is done, so
// these are all the places of a file that has one. They are looked at in this
// order: a file that was at none of them while steps were carried out was
// somewhere else.
#include "fsengine/device/half_published.h"

#include <cerrno>
#include <string_view>
#include <utility>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/host_file.h"

namespace ovl {
namespace {

bool is_another(const Result<Fd>& file) {
  return !file && file.error().code() == ESTALE;
}

}  // namespace

HalfPublished::HalfPublished(const PublishPlan& plan, Fd staging)
    : staging_(std::move(staging)) {
  for (const MoveStep& step : plan.moves)
    before_[step.staged] = join_path(step.dir, step.name);
  for (const NameStep& step : plan.names)
    if (step.kind != NameStep::Kind::kRemove)
      staged_[join_path(step.dir, step.name)] = step.staged;
}

Result<Fd> HalfPublished::open(int upper, const std::string& path,
                               uint64_t ino) const {
  const auto placed = longest_placed(path);
  if (placed == staged_.end())
    return open_known_file(upper, path, ino);
  const std::string rest = path.substr(placed->first.size());
  const auto before = before_.find(placed->second);
  if (before != before_.end()) {
    auto file = open_known_file(upper, before->second + rest, ino);
    if (!is_another(file))
      return file;
  }
  auto file = open_known_file(staging_.get(), placed->second + rest, ino);
  return is_another(file) ? open_known_file(upper, path, ino) : std::move(file);
}

HalfPublished::Paths::const_iterator HalfPublished::longest_placed(
    std::string_view path) const {
  while (!path.empty()) {
    const auto at = staged_.find(std::string(path));
    if (at != staged_.end())
      return at;
    path = split_path(path).dir;
  }
  return staged_.end();
}

}  // namespace ovl
