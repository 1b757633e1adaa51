// SPDX-License-Identifier: BSD-3-Clause
//
// The last pass of a decode: what the first two found, as Changes.
#pragma once

#include "images/decode/catalog.h"
#include "images/decode/inode_pass.h"
#include "images/decode/name_pass.h"

namespace ovl {

/// EUCLEAN, naming the inode, when attributes or a target make no sense.
/// REQUIRES: both passes have run.
Result<Changes> build_changes(const Catalog& catalog, const BlockSource& view,
                              const InodePass& inodes, const NamePass& names);

/// The base image's node of which `inode` is the newest state, or kNoNode.
NodeId source_of(const Image& image, Ino ino, const CatalogInode& inode);

}  // namespace ovl
