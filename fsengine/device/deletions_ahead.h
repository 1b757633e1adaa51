// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/live_delta.h"
#include "fsengine/store/disk_view.h"
#include "images/decode/catalog.h"
#include "images/decode/catalog_codec.h"
#include "images/decode/decoder.h"

namespace ovl {

/// What a guest deleted, taken by itself where upper has no room for all that
/// it did. The essay is in the .cc.
struct DeletionsAhead {
  Changes changes;
  Catalog catalog;  // with them
  CatalogDelta delta;

  bool empty() const { return delta.inodes.empty(); }
};

/// Between `before`, which upper shows by the names of `names`, and what
/// `decoder` accepted of `view` by its changes, and by `delta`.
Result<DeletionsAhead> find_deletions(Catalog before, const LiveDelta& names,
                                      const CatalogDelta& delta,
                                      const Decoder& decoder,
                                      const DiskView& view);

/// Is upper's file system at a limit that a deletion may move?
bool is_lack_of_room(const Error& error);

}  // namespace ovl
