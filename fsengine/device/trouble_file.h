// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"

namespace ovl {

/// `workdir/ovl/trouble` (FORMAT.md): why changes are held back, for those who
/// ask while nobody reads the log. Nothing depends on it, so an error here is
/// none. `state_dir` is workdir/ovl. For one thread at a time.
void note_trouble(Os& os, int state_dir, const std::string& what);
void forget_trouble(Os& os, int state_dir);

/// Empty when there is none.
Result<std::string> read_trouble(int state_dir);

}  // namespace ovl
