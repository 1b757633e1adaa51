// SPDX-License-Identifier: BSD-3-Clause
//
// Outside a journal, blocks reach the device in any order: a state is taken
// only when the bitmaps, too, tell what changed.
#pragma once

#include "fsengine/base/block_source.h"
#include "images/decode/catalog.h"
#include "images/decode/inode_pass.h"

namespace ovl {

/// EUCLEAN when a bitmap of `view` says other than a changed inode does, of
/// the inode or of blocks, that of its attributes included, that it got or let
/// go.
Status check_bitmaps(const Catalog& catalog, const BlockSource& view,
                     const InodePass& inodes);

}  // namespace ovl
