// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/change.h"
#include "images/decode/catalog.h"

namespace ovl {

/// How the names of what `catalog` describes differ from those of the base
/// image; of `objects` there are only those of kind kGone. Costs what the
/// catalog holds. EUCLEAN when it contradicts itself.
Result<Changes> names_since_base(const Catalog& catalog);

}  // namespace ovl
