// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "fsengine/store/disk_view.h"
#include "images/decode/decoder.h"

namespace ovl {

/// Blocks of the device, and where a file has them.
struct FilePart {
  BlockRange blocks;
  uint64_t file_block = 0;
};

/// What log or store have of the content that `change` says a file got, and
/// whoever has that content has as well: as it is committed, and with nothing
/// but zeros behind the file's end. REQUIRES: `decoder` has accepted `change`,
/// which has a content, from `view`.
Result<std::vector<FilePart>> written_parts(const ObjectChange& change,
                                            const Decoder& decoder,
                                            const DiskView& view);

}  // namespace ovl
