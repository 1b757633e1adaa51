// SPDX-License-Identifier: BSD-3-Clause
//
// The file `upper` of a state directory (FORMAT.md, "The record of upper").
#pragma once

#include <cstdint>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/upper_record.h"

namespace ovl {

/// Writes it beside the old one, and takes its place in one durable step.
Status write_upper(Os& os, int state_dir, const UpperRecord& record);

/// ENOENT when there is none, EPROTO when it is of an unknown version, EUCLEAN
/// when it is damaged or a base is none of `nodes` nodes; each names the file.
Result<UpperRecord> read_upper(int state_dir, uint32_t nodes);

/// No error when there is none.
Status remove_upper(Os& os, int state_dir);

}  // namespace ovl
