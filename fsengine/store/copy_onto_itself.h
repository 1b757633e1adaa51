// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"

namespace ovl {

/// Writes the bytes that a file has in a range, up to its end, over themselves:
/// the host, which may have them in its memory only, will write them to disk.
/// Holes in units of the host's stay.
Status copy_onto_itself(Os& os, int file, uint64_t offset, uint64_t length);

}  // namespace ovl
