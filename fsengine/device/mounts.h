// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>

#include "fsengine/base/result.h"

namespace ovl {

/// EBUSY when a kernel overlay that is mounted in this mount namespace writes
/// to directory `upper` or uses `work`. Errors name the parameter, the path
/// and the mount point.
Status refuse_mounted_overlay(const std::string& upper,
                              const std::string& work);

}  // namespace ovl
