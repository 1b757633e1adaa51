// SPDX-License-Identifier: BSD-3-Clause
//
// What of a difference only takes away, as a difference of its own: the state
// between is a tree, in which what the guest deleted is gone and all else is as
// it was. Reads no block of a guest.
#pragma once

#include <functional>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "images/decode/catalog.h"
#include "images/decode/catalog_codec.h"

namespace ovl {

/// The objects of `changes` that are gone, are not in use any more, whose names
/// lead nowhere now, and that `can_go`; of directories only those of which
/// nothing else is left.
Result<Changes> deletions_in(
    const Changes& changes,
    const std::function<Result<bool>(const ObjectId&)>& can_go);

/// Takes them out of `catalog`, which is the one that the changes begin at, and
/// what `closed` names: inodes in it that have no names. Tells what of it is
/// not as it was.
Result<CatalogDelta> take_out(Catalog& catalog, const Changes& deletions,
                              const std::vector<Ino>& closed);

}  // namespace ovl
