// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>

#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/live_tree.h"

namespace ovl {

/// Tells `live`, which has the guest's names, where its objects stand in upper:
/// `now` is upper as it was found, merged over the same lowers in the same
/// pool. Looks at the directories of upper and no others. ESTALE, with the
/// path, when their names are not the guest's, but for objects that upper may
/// lack. Calls `visit` with each object of upper, one that has several names
/// perhaps as often; its error ends it, and gets the path.
using UpperVisitor =
    std::function<Status(const ObjectId& id, const Node& node)>;
using MayLack = std::function<bool(const ObjectId& id)>;
Status take_standings(const Tree& now, LiveTree& live,
                      const UpperVisitor& visit = {},
                      const MayLack& may_lack = {});

}  // namespace ovl
