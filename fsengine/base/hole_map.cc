// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/hole_map.h"

#include <xxhash.h>

namespace ovl {

uint64_t HoleMapHash::operator()(const HoleMap& map) const {
  return XXH3_64bits_withSeed(
      map.runs.data(), map.runs.size() * sizeof(DataRun), map.sparse ? 1 : 0);
}

bool is_in_order(std::span<const DataRun> runs) {
  uint64_t free_from = 0;
  for (const DataRun& run : runs) {
    const uint64_t end = uint64_t{run.first_block} + run.blocks;
    if (run.blocks == 0 || run.first_block < free_from || end > UINT32_MAX)
      return false;
    free_from = end + 1;
  }
  return true;
}

}  // namespace ovl
