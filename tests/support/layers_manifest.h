// SPDX-License-Identifier: BSD-3-Clause
//
// The manifest of a merged tree as our own reader of layers sees it. Needs no
// root and no mount.
#pragma once

#include "fsengine/overlay/stack.h"
#include "tests/support/manifest.h"

namespace ovl {

/// Reads the content of every file.
Result<Manifest> scan_layers(const StackOptions& options);

}  // namespace ovl
