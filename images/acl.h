// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>

#include "fsengine/base/result.h"

namespace ovl {

/// An access control list in the form of getxattr(2) (version 2) in the form
/// that ext2 keeps on disk (version 1). EINVAL when `value` is malformed.
Result<std::string> acl_to_disk(std::string_view value);

/// The way back. EINVAL when `disk` is malformed.
Result<std::string> acl_from_disk(std::string_view disk);

}  // namespace ovl
