// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/hole_map.h"

#include <xxhash.h>

namespace ovl {

uint64_t HoleMapHash::operator()(const HoleMap& map) const {
  return XXH3_64bits_withSeed(
      map.runs.data(), map.runs.size() * sizeof(DataRun), map.sparse ? 1 : 0);
}

}  // namespace ovl
