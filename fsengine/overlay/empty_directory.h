// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"

namespace ovl {

/// Removes all that is in an open directory of ours, however deep. Needs no
/// more than the permissions that the owner can give himself.
Status empty_directory(Os& os, int dir);

}  // namespace ovl
