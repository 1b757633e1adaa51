// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "tests/support/manifest.h"
#include "tests/support/nbd_guest_fs.h"

namespace ovl {

/// The manifest of the whole tree, content read from `device`, on which `fs`
/// was opened. Attributes are read with libext2fs, not with our own reader.
Result<Manifest> dump_guest(const GuestFs& fs, const BlockSource& device);

}  // namespace ovl
