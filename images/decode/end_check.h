// SPDX-License-Identifier: BSD-3-Clause
//
// Outside a journal what a file has reaches the device in any order: a state is
// taken only when content ends where the inode says. Where it does not e2fsck
// makes a file longer, and takes a symlink away.
#pragma once

#include "fsengine/base/block_source.h"
#include "images/decode/catalog.h"
#include "images/decode/inode_pass.h"

namespace ovl {

/// EUCLEAN when a changed file has blocks behind its end that are not mere
/// reservations, or when a changed symlink has more of a target.
Status check_ends(const Catalog& catalog, const BlockSource& view,
                  const InodePass& inodes);

}  // namespace ovl
