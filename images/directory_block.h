// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "images/layout.h"

namespace ovl {

/// Fills block `block` of the directory in `slot`, linear or hashed.
/// REQUIRES: the slot is not hidden; out.size() == kBlockSize, all zeros.
void fill_directory_block(const Layout& layout, uint32_t slot, uint32_t block,
                          std::span<std::byte> out);

}  // namespace ovl
