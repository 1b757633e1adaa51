// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fsengine/base/result.h"

namespace ovl {

/// Fills `out` from `offset` of a file; ESTALE when the file ends before, for
/// everything we read has a known size.
Status read_at(int fd, uint64_t offset, std::span<std::byte> out);

}  // namespace ovl
