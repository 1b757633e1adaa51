// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <span>

namespace ovl {

/// Copies to memory that may turn out not to be there: a mapped page that the
/// host cannot read or make writable. False when that happens, with any part
/// of the bytes copied. Safe for concurrent use.
bool guarded_copy(std::byte* to, std::span<const std::byte> from);

}  // namespace ovl
