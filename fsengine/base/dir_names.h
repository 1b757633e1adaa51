// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include "fsengine/base/result.h"

namespace ovl {

/// All names in an open directory (not opened with O_PATH), in no order,
/// without "." and "..". Does not move the descriptor's position.
Result<std::vector<std::string>> list_names(int dir);

}  // namespace ovl
