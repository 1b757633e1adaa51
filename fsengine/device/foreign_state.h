// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "fsengine/base/result.h"

namespace ovl {

/// Refuses what the kernel's overlayfs left in an open work directory and what
/// we would misread upper without: hard links in an index, the mark of a
/// volatile mount. `what` is `workdir: PATH`; the error tells how to go on.
Status refuse_foreign_state(int work, const std::string& what);

}  // namespace ovl
