// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fsengine/base/interned.h"

namespace ovl {

/// Where a sparse file has data: a run of kBlockSize blocks of the file.
struct DataRun {
  uint32_t first_block = 0;
  uint32_t blocks = 0;

  bool operator==(const DataRun&) const = default;
};

/// The data runs of one file, in order, not touching each other, none empty.
struct HoleMap {
  bool sparse = false;        // false: every block up to the size is data
  std::vector<DataRun> runs;  // meaningful when sparse

  bool operator==(const HoleMap&) const = default;
};

/// True when `runs` are as HoleMap says, and none reaches beyond 32 bits.
bool is_in_order(std::span<const DataRun> runs);

struct HoleMapHash {
  uint64_t operator()(const HoleMap& map) const;
};

/// A map in a HoleMapPool; 0 means "no holes".
enum class HoleMapId : uint32_t {};

using HoleMapPool = Interned<HoleMap, HoleMapId, HoleMapHash>;

}  // namespace ovl
