// SPDX-License-Identifier: BSD-3-Clause
//
// Plans of upper as text, so that a test can state what it expects in a line.
#pragma once

#include <string>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {

inline std::string plan_word(const UpperPlan& plan, const WantedName& wanted) {
  const std::string name(wanted.name);
  switch (wanted.kind) {
    case WantedName::Kind::kWhiteout:
      return name + "-";
    case WantedName::Kind::kFile:
      return name;
    case WantedName::Kind::kKeep:
      return name + "!";
    case WantedName::Kind::kNothing:
      return name + "0";
    case WantedName::Kind::kDir:
      break;
  }
  const WantedDir& dir = plan.dirs[wanted.dir];
  if (!dir.redirect.empty())
    return name + "/->" + dir.redirect;
  return name + (dir.opaque ? "/=y" : "/");
}

/// One word a name: `d/` kept or merged, `d/=y` opaque, `d/->/p` redirect,
/// `f` a file, `f-` a whiteout, `k!` kept as it is,
/// `n0` nothing.
inline std::vector<std::string> plan_words(const UpperPlan& plan) {
  std::vector<std::string> words;
  for (uint32_t i = 0; i < plan.dirs.size(); ++i)
    if (plan.dirs[i].wanted)
      for (const WantedName& wanted : plan.dirs[i].names)
        words.push_back(join_path(plan.path(i), plan_word(plan, wanted)));
  return words;
}

}  // namespace ovl
