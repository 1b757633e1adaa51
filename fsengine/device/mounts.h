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

/// EXDEV when something is mounted in directory `upper`: the kernel's overlay
/// writes under it, and we cannot.
Status refuse_mounts_in_upper(const std::string& upper);

}  // namespace ovl
