// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/live_tree.h"

namespace ovl {

/// Tells `live`, which has the guest's names, where its objects stand in upper:
/// `now` is upper as it was found, merged over the same lowers in the same
/// pool. Looks at the directories of upper and no others. ESTALE, with the
/// path, when their names are not the guest's.
Status take_standings(const Tree& now, LiveTree& live);

}  // namespace ovl
