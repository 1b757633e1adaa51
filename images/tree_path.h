// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>

#include "fsengine/base/tree.h"

namespace ovl {

/// A path of `node` in `tree`, without a leading slash: "" for the root,
/// nothing when it is not in the tree. For messages: looks through the tree.
std::optional<std::string> find_path(Tree tree, NodeId node);

}  // namespace ovl
