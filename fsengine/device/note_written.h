// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/store/disk_view.h"
#include "images/decode/decoder.h"

namespace ovl {

/// What a decoder begins at.
enum class BeginsAt { kBase, kMark };  // the base image, or the mark's catalog

/// Tells `decoder` of every block of `view` that may not be as its catalog has
/// it: all that log and store have, and all that are the base's and were
/// another's. What upper provides is as the mark's catalog has it: whoever
/// wrote there since has the block in the log again.
void note_all_written(const DiskView& view, Decoder& decoder, BeginsAt begin);

}  // namespace ovl
