// SPDX-License-Identifier: BSD-3-Clause
//
// Changes of a guest's tree by paths, for people.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fsengine/base/change.h"
#include "images/decode/catalog.h"

namespace ovl {

class ChangePaths {
 public:
  /// `changes` lead from the tree `before`, which is `catalog`'s base image's,
  /// to what the catalog knows. All outlive it.
  ChangePaths(Tree before, const Catalog& catalog, const Changes& changes);

  /// One line for each change, sorted by path: `A`dded, `M`odified, `D`eleted
  /// or `R`enamed, the path, what it is or what of it changed.
  Result<std::vector<std::string>> lines() const;

 private:
  struct Name {
    Ino directory{};
    std::string name;
  };
  struct Names {
    std::vector<Name> gone;
    std::vector<Name> come;
  };

  void find_base_names(Tree before);
  Result<std::string> path_now(const Name& name) const;
  std::string path_before(const Name& name) const;
  const Name* name_now(Ino ino) const;
  Result<std::vector<std::string>> lines_of_names(
      const Names& names, const ObjectChange* object) const;

  const Image& image_;
  const Changes& changes_;
  std::map<Ino, Name> base_names_;  // one of each object's
  std::map<Ino, Names> names_;      // what changed
};

}  // namespace ovl
