// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/result.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// May this process set trusted attributes, owners and devices?
bool is_privileged();

/// The family that a mount by this process would use.
XattrFamily default_family();

/// Will the kernel's overlayfs follow a redirect with default options?
bool kernel_follows_redirects();

/// Lets this process open as many files as its hard limit allows.
void raise_descriptor_limit();

}  // namespace ovl
