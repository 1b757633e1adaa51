// SPDX-License-Identifier: BSD-3-Clause
//
// Which bytes of a regular file may not be what they were.
#pragma once

#include "fsengine/base/change.h"
#include "images/decode/inode_pass.h"

namespace ovl {

/// Nothing when the content is as it was. `change` is of a file that had names
/// and has. Blocks beyond the size, and unwritten ones, are no content.
std::optional<ContentChange> content_change(const InodeChange& change,
                                            const Mapping& mapping);

/// All of a file that had no name before.
ContentChange whole_content(const InodeChange& change, const Mapping& mapping);

}  // namespace ovl
