// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/store/disk_view.h"
#include "images/decode/decoder.h"

namespace ovl {

/// Tells `decoder` of every block of `view` that may not be as its catalog has
/// it: all that log and store have, and all that are the base's and were
/// another's.
void note_all_written(const DiskView& view, Decoder& decoder);

}  // namespace ovl
