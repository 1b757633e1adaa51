// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <vector>

#include "fsengine/device/config.h"
#include "fsengine/overlay/layout_file.h"
#include "fsengine/overlay/xattr_family.h"
#include "images/image.h"

namespace ovl {

/// The user's parameters, defaults resolved, that a layout depends on.
std::vector<Parameter> layout_parameters(const ImageOptions& options,
                                         XattrFamily family);

/// The options of the image that the kept layout `record` is of. EUCLEAN when
/// they are none that layout_parameters() writes.
Result<ImageOptions> image_options(const LayoutRecord& record);

}  // namespace ovl
