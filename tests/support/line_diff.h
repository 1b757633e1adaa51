// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

namespace ovl {

/// How two manifests differ, a line of text for each object: its path, and
/// each field that is not the same, as `left | right`, long ones cut to where
/// they begin to differ. Empty when there is no difference.
std::vector<std::string> line_diff(const std::vector<std::string>& left,
                                   const std::vector<std::string>& right);

}  // namespace ovl
