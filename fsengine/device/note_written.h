// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/store/disk_view.h"
#include "images/decode/decoder.h"

namespace ovl {

/// Tells `decoder` of every block of `view` that is not the base's.
void note_all_written(const DiskView& view, Decoder& decoder);

}  // namespace ovl
