// SPDX-License-Identifier: BSD-3-Clause
//
// Outside a journal a file's blocks and its size reach the device with their
// inode, but a guest changes them one after the other: a state is taken only
// when no block is behind the end. e2fsck would make the file longer there.
#pragma once

#include "images/decode/catalog.h"
#include "images/decode/inode_pass.h"

namespace ovl {

/// EUCLEAN when a changed file has blocks behind its end that are not mere
/// reservations.
Status check_sizes(const Catalog& catalog, const InodePass& inodes);

}  // namespace ovl
