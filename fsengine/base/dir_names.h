// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include "fsengine/base/result.h"

namespace ovl {

/// All names in an open directory (not opened with O_PATH), in no order,
/// without "." and "..". Reads from its beginning, whatever was read before;
/// one list at a time for one descriptor.
Result<std::vector<std::string>> list_names(int dir);

}  // namespace ovl
