// SPDX-License-Identifier: BSD-3-Clause
//
// What must be so of the nodes of layers, whoever made them, for those who
// walk them to come to an end. All ids are in range already. EUCLEAN
// otherwise.
#pragma once

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"

namespace ovl {

/// Everything that one node says of another but by its entries: `host_dir` and
/// `lower` are directories with a smaller id, `source` is a regular file
/// without one.
Status check_references(const NodePool& pool);

/// No directory is somewhere beneath itself.
Status check_acyclic(const NodePool& pool);

/// The root is a directory, and each directory of the tree has one name.
Status check_tree(Tree tree);

}  // namespace ovl
