// SPDX-License-Identifier: BSD-3-Clause
//
// What a catalog holds, for comparing and for beginning anew with it.
#pragma once

#include <string>
#include <vector>

#include "images/decode/catalog.h"

namespace ovl {

/// A catalog that was told everything that `catalog` holds.
Result<Catalog> copy_of(const Catalog& catalog);

/// Which object an inode passes for, or not that.
enum class Identities { kTold, kLeftOut };

/// Everything that it holds, and whose each block of the device is by it, a
/// line each: equal lines, equal catalogs. What is owned was counted up change
/// by change, and is another matter than what a copy counts up at once.
std::vector<std::string> catalog_lines(
    const Catalog& catalog, Identities identities = Identities::kTold);

}  // namespace ovl
